#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "capabilities/cloud/buckets/bucket_reconcile.h"
#include "capabilities/cloud/buckets/index.h"
#include "capabilities/cloud/buckets/sigv4.h"
#include "capabilities/cloud/buckets/xml.h"

namespace mainstay::cloud {
namespace {

// The worked examples of AWS's own documentation of Signature Version 4 for S3.
constexpr const char* kSecret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
constexpr const char* kEmpty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

TEST(SigV4, GetWithRangeAsDocumented) {
  net::Headers headers;
  headers.set("Host", "examplebucket.s3.amazonaws.com");
  headers.set("Range", "bytes=0-9");
  headers.set("x-amz-content-sha256", kEmpty);
  headers.set("x-amz-date", "20130524T000000Z");
  headers.set("Authorization",
              "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
              "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,"
              "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
  const auto target = parse_s3_target("/test.txt");
  const auto signature = read_signature(*target, headers);
  ASSERT_TRUE(signature && *signature);
  EXPECT_EQ((*signature)->access_key, "AKIAIOSFODNN7EXAMPLE");
  EXPECT_TRUE(signed_with(kSecret, "GET", *target, headers, **signature));
  EXPECT_FALSE(signed_with("another", "GET", *target, headers, **signature));
  EXPECT_FALSE(signed_with(kSecret, "PUT", *target, headers, **signature));
  headers.set("Range", "bytes=0-10");
  EXPECT_FALSE(signed_with(kSecret, "GET", *target, headers, **signature));
  const auto now = *base::parse_rfc3339("2013-05-24T00:10:00Z");
  EXPECT_TRUE(fresh(**signature, now));
  EXPECT_FALSE(fresh(**signature, now + std::chrono::minutes(6)));
}

TEST(SigV4, PresignedAsDocumented) {
  net::Headers headers;
  headers.set("Host", "examplebucket.s3.amazonaws.com");
  const std::string url =
      "/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2F"
      "aws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature="
      "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404";
  const auto target = parse_s3_target(url);
  const auto signature = read_signature(*target, headers);
  ASSERT_TRUE(signature && *signature) << signature.error().message;
  EXPECT_TRUE(signed_with(kSecret, "GET", *target, headers, **signature));
  EXPECT_TRUE(fresh(**signature, *base::parse_rfc3339("2013-05-24T23:59:59Z")));
  EXPECT_FALSE(fresh(**signature, *base::parse_rfc3339("2013-05-25T00:00:01Z")));
  const auto longer = parse_s3_target(url + "&x=1");
  EXPECT_FALSE(signed_with(kSecret, "GET", *longer, headers, **read_signature(*longer, headers)));
  headers.set("x-amz-content-sha256", kEmpty);
  EXPECT_TRUE(read_signature(*target, headers)) << "it is the query's that counts";
  headers.set("X-Amz-Copy-Source", "/examplebucket/secret");
  const auto refused = read_signature(*target, headers);
  ASSERT_FALSE(refused) << "the URL is for /test.txt alone";
  EXPECT_EQ(refused.error().message, "the header x-amz-copy-source must be signed");
}

TEST(SigV4, ChunksAsDocumented) {
  Signature seed;
  seed.access_key = "AKIAIOSFODNN7EXAMPLE";
  seed.date = "20130524";
  seed.region = "us-east-1";
  seed.timestamp = "20130524T000000Z";
  seed.signature = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9";
  const std::string body =
      "10000;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648\r\n" +
      std::string(65536, 'a') +
      "\r\n400;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497\r\n" +
      std::string(1024, 'a') +
      "\r\n0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9\r\n\r\n";
  for (const std::size_t step : {std::size_t{1} << 20, std::size_t{1000}}) {
    ChunkDecoder decoder(signing_key(kSecret, seed), seed);
    std::string out;
    for (std::size_t at = 0; at < body.size(); at += step) {
      const auto fed = decoder.feed(std::string_view(body).substr(at, step), out);
      ASSERT_TRUE(fed) << fed.error().message;
    }
    EXPECT_TRUE(decoder.done());
    EXPECT_EQ(out.size(), 66560u);
  }
  std::string altered = body;
  altered[200] = 'b';
  ChunkDecoder decoder(signing_key(kSecret, seed), seed);
  std::string out;
  const auto fed = decoder.feed(altered, out);
  ASSERT_FALSE(fed);
  EXPECT_EQ(fed.error().code, base::ErrorCode::kUnauthenticated);
  EXPECT_TRUE(out.empty()) << "nothing of a chunk is given before its signature is known to be right";
}

TEST(SigV4, WhatChangesTheRequestMustBeSigned) {
  net::Headers headers;
  headers.set("Host", "h");
  headers.set("x-amz-content-sha256", kEmpty);
  headers.set("x-amz-date", "20130524T000000Z");
  headers.set("x-amz-copy-source", "/b/secret");
  headers.set("Authorization", fmt::format("AWS4-HMAC-SHA256 Credential=A/20130524/r/s3/aws4_request, "
                                           "SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature={}",
                                           std::string(64, '0')));
  const auto refused = read_signature(*parse_s3_target("/"), headers);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message, "the header x-amz-copy-source must be signed");
  headers.set("Authorization", "Bearer x");
  EXPECT_FALSE(read_signature(*parse_s3_target("/"), headers));
  EXPECT_FALSE(parse_s3_target("/%zz"));
}

TEST(Xml, ReadsWhatClientsSend) {
  const auto document = parse_xml(
      "<?xml version=\"1.0\"?>\n<!-- c --><s:Delete xmlns:s='u'><Quiet>true</Quiet>"
      "<Object><Key>a &amp; &#x20AC;</Key></Object><Object/></s:Delete>\n");
  ASSERT_TRUE(document) << document.error().message;
  EXPECT_EQ(document->name, "Delete");
  EXPECT_EQ(document->value("Quiet"), "true");
  EXPECT_EQ(document->children[1].value("Key"), "a & \u20AC");
  for (const char* bad : {"", "<a>", "<a></b>", "<a>&x;</a>", "<!DOCTYPE a><a/>", "<a b></a>", "<a/>x", "<a>&#0;</a>",
                          "<a><a><a><a><a><a><a><a><a/></a></a></a></a></a></a></a></a>"})
    EXPECT_FALSE(parse_xml(bad)) << bad;
}

TEST(Answers, AreNoPagesOfThisOrigin) {
  net::Response response = net::Response::text(200, "<script>1</script>");
  response.headers.set("Content-Type", "text/html");
  disarm(response);
  EXPECT_EQ(response.headers.get("Content-Security-Policy"), "sandbox");
  EXPECT_EQ(response.headers.get("X-Content-Type-Options"), "nosniff");
  EXPECT_EQ(overridden_header("response-Content-Type"), "Content-Type");
  EXPECT_EQ(overridden_header("response-content-disposition"), "Content-Disposition");
  for (const char* other : {"response-set-cookie", "response-content-security-policy", "response-location", "response-",
                            "content-type", "response-content-length"})
    EXPECT_EQ(overridden_header(other), "") << other;
}

TEST(Ranges, AsRfc9110) {
  EXPECT_EQ(parse_byte_range("bytes=0-9", 100)->length, 10u);
  EXPECT_EQ(parse_byte_range("bytes=90-", 100)->first, 90u);
  EXPECT_EQ(parse_byte_range("bytes=-5", 100)->first, 95u);
  EXPECT_EQ(parse_byte_range("bytes=-500", 100)->length, 100u);
  EXPECT_EQ(parse_byte_range("bytes=50-500", 100)->length, 50u);
  EXPECT_FALSE(parse_byte_range("bytes=9-0", 100));
  EXPECT_FALSE(parse_byte_range("lines=0-1", 100));
  EXPECT_FALSE(parse_byte_range("bytes=0-1,3-4", 100));
  EXPECT_THROW(parse_byte_range("bytes=100-", 100), S3Error);
}

struct Index : testing::Test {
  Index() : folder(std::filesystem::temp_directory_path() / fmt::format("buckets_test.{}", ::getpid())) {
    std::filesystem::create_directories(folder);
    index = *BucketIndex::open(folder / "index.db");
  }
  ~Index() override {
    index.reset();
    std::filesystem::remove_all(folder);
  }
  void put(const std::string& key, const std::string& digest = "sha256:1", std::uint64_t size = 10) {
    S3Object o;
    o.key = key;
    o.etag = "e";
    o.headers = "{}";
    o.size = size;
    o.parts = {{digest, size}};
    freed.clear();
    ASSERT_TRUE(index->put("b", o, false, 1000, freed));
  }
  std::string shown(const std::string& prefix, const std::string& delimiter, std::size_t limit) {
    std::string out, after;
    for (int page = 0; page < 50; ++page) {
      const auto list = index->list("b", prefix, delimiter, after, limit);
      EXPECT_TRUE(list);
      for (const auto& o : list->objects) out += o.key + " ";
      for (const auto& p : list->prefixes) out += p + " ";
      if (list->next.empty()) return out;
      out += "| ";
      after = list->next;
    }
    return out + "without end";
  }
  std::filesystem::path folder;
  std::shared_ptr<BucketIndex> index;
  std::vector<std::string> freed;
};

TEST_F(Index, ListsByPrefixAndDelimiter) {
  for (const char* key : {"a", "b/1", "b/2", "b/c/3", "d", "e/", "e/x"}) put(key);
  EXPECT_EQ(shown("", "", 100), "a b/1 b/2 b/c/3 d e/ e/x ");
  EXPECT_EQ(shown("", "/", 100), "a d b/ e/ ");
  EXPECT_EQ(shown("b/", "/", 100), "b/1 b/2 b/c/ ");
  EXPECT_EQ(shown("e/", "/", 100), "e/ e/x ");
  EXPECT_EQ(shown("", "/", 1), "a | b/ | d | e/ ");
  EXPECT_EQ(shown("", "", 2), "a b/1 | b/2 b/c/3 | d e/ | e/x ");
  EXPECT_EQ(shown("zz", "", 2), "");
  EXPECT_EQ(index->list("other", "", "", "", 10)->objects.size(), 0u);
}

TEST_F(Index, FreesWhatIsReplacedAndCountsWhatIsThere) {
  put("k", "sha256:1");
  put("k", "sha256:2", 30);
  EXPECT_EQ(freed, std::vector<std::string>{"sha256:1"});
  EXPECT_FALSE(index->is_used("sha256:1"));
  EXPECT_TRUE(index->is_used("sha256:2"));
  EXPECT_EQ(index->usage("b")->objects, 1u);
  EXPECT_EQ(index->usage("b")->bytes, 30u);
  S3Object big;
  big.key = "big";
  big.headers = "{}";
  big.size = 2000;
  EXPECT_EQ(index->put("b", big, false, 1000, freed).error().code, base::ErrorCode::kExhausted);
  EXPECT_EQ(index->usage("b")->bytes, 30u) << "nothing of it stays";
  S3Object again;
  again.key = "k";
  again.headers = "{}";
  EXPECT_EQ(index->put("b", again, true, 0, freed).error().code, base::ErrorCode::kConflict);
  freed.clear();
  EXPECT_TRUE(index->drop_bucket("b", freed));
  EXPECT_EQ(freed, std::vector<std::string>{"sha256:2"});
  EXPECT_EQ(index->usage("b")->objects, 0u);
}

TEST_F(Index, AnUploadBecomesAnObjectInOneStep) {
  ASSERT_TRUE(index->begin_upload("b", {"u1", "k", "{}", 5}));
  ASSERT_TRUE(index->put_part("b", "u1", {1, "aa", "sha256:1", 10, 6}, 0, freed));
  ASSERT_TRUE(index->put_part("b", "u1", {1, "bb", "sha256:2", 10, 6}, 0, freed));
  EXPECT_EQ(freed, std::vector<std::string>{"sha256:1"});
  EXPECT_FALSE(*index->find_upload("other", "u1"));
  S3Object object;
  object.key = "k";
  object.headers = "{}";
  object.size = 10;
  object.parts = {{"sha256:1", 10}};
  EXPECT_EQ(index->complete("b", "u1", object, 0, freed).error().code, base::ErrorCode::kConflict) << "replaced since";
  EXPECT_TRUE(index->find_upload("b", "u1")->has_value());
  EXPECT_TRUE(index->is_used("sha256:2"));
  object.parts = {{"sha256:2", 10}};
  ASSERT_TRUE(index->complete("b", "u1", object, 0, freed));
  EXPECT_EQ((*index->find("b", "k"))->parts.size(), 1u);
  EXPECT_FALSE(*index->find_upload("b", "u1"));
  EXPECT_EQ(index->complete("b", "u1", object, 0, freed).error().code, base::ErrorCode::kNotFound);
  EXPECT_EQ(index->put_part("b", "u1", {2, "cc", "sha256:3", 1, 6}, 0, freed).error().code, base::ErrorCode::kNotFound);
}

TEST_F(Index, PartsCountAgainstTheQuotaBeforeTheyAreAnObject) {
  ASSERT_TRUE(index->begin_upload("b", {"u1", "k", "{}", 5}));
  ASSERT_TRUE(index->begin_upload("b", {"u2", "l", "{}", 5}));
  ASSERT_TRUE(index->put_part("b", "u1", {1, "aa", "sha256:1", 60, 6}, 100, freed));
  EXPECT_EQ(index->put_part("b", "u2", {1, "bb", "sha256:2", 60, 6}, 100, freed).error().code,
            base::ErrorCode::kExhausted);
  EXPECT_FALSE(index->is_used("sha256:2"));
  ASSERT_TRUE(index->put_part("b", "u1", {1, "cc", "sha256:3", 90, 6}, 100, freed)) << "in the place of the first";
  EXPECT_EQ(index->put_part("other", "u1", {1, "dd", "sha256:4", 1, 6}, 0, freed).error().code,
            base::ErrorCode::kNotFound)
      << "another bucket's";
  S3Object object;
  object.key = "m";
  object.headers = "{}";
  object.size = 20;
  object.parts = {{"sha256:5", 20}};
  EXPECT_EQ(index->put("b", object, false, 100, freed).error().code, base::ErrorCode::kExhausted) << "beside the parts";
  object.key = "k";
  object.size = 90;
  object.parts = {{"sha256:3", 90}};
  EXPECT_TRUE(index->complete("b", "u1", object, 100, freed)) << "in their place";
}

TEST_F(Index, UploadsUnderWayAreBounded) {
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(index->begin_upload("b", {fmt::format("u{}", i), "k", "{}", 5}));
  EXPECT_EQ(index->begin_upload("b", {"more", "k", "{}", 5}).error().code, base::ErrorCode::kExhausted);
  EXPECT_TRUE(index->begin_upload("other", {"more", "k", "{}", 5}));
  ASSERT_TRUE(index->abort("u7", freed));
  EXPECT_TRUE(index->begin_upload("b", {"again", "k", "{}", 5}));
}

TEST(Bucket, NamesFollowFromWhoseItIs) {
  EXPECT_NE(bucket_id("u1", "b"), bucket_id("u2", "b"));
  EXPECT_EQ(bucket_name("files", "0123456789abcdef"), "files-0123456789");
  EXPECT_LE(bucket_name(std::string(63, 'x'), bucket_id("u", "x")).size(), 63u);
  EXPECT_EQ(access_key_of("uid").size(), 20u);
}

}  // namespace
}  // namespace mainstay::cloud
