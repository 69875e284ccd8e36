#include "base/files.h"

#include <gtest/gtest.h>

#include <fstream>

#include "crypto/digest.h"
#include "store/blobs.h"
#include "store/conformance/suite.h"

namespace mainstay::store {
namespace {

using namespace std::chrono_literals;
using base::ErrorCode;
namespace fs = std::filesystem;

std::string digest_of(std::string_view content) { return "sha256:" + crypto::sha256_hex(content); }

class FileBlobsTest : public testing::Test {
 protected:
  using Body = std::function<async::Task<>(BlobStore&)>;
  void run(const Body& body) {
    async::Runtime runtime(2);
    runtime_ = &runtime;
    auto blobs = open_file_blobs(runtime, root_);
    ASSERT_TRUE(blobs) << blobs.error().message;
    runtime.run(body(**blobs));
  }
  std::size_t uploads_left() const {
    return static_cast<std::size_t>(std::distance(fs::directory_iterator(root_ / "uploads"), {}));
  }

  TempFolder folder_;
  fs::path root_ = folder_.path() / "data";
  async::Runtime* runtime_ = nullptr;
};

TEST_F(FileBlobsTest, PutReadRemove) {
  run([&](BlobStore& blobs) -> async::Task<> {
    auto digest = co_await blobs.put("hello");
    CO_ASSERT(digest);
    EXPECT_EQ(*digest, digest_of("hello"));
    EXPECT_EQ((co_await blobs.put("hello")).value_or(""), *digest);
    EXPECT_EQ(blobs.size(*digest).value_or(0), 5u);
    EXPECT_EQ((co_await blobs.read(*digest, 5)).value_or(""), "hello");
    EXPECT_EQ(code_of(co_await blobs.read(*digest, 4)), ErrorCode::kTooLarge);
    auto path = blobs.path(*digest);
    CO_ASSERT(path);
    EXPECT_EQ(*path, root_ / "blobs" / "sha256" / digest->substr(7, 2) / digest->substr(7));
    EXPECT_EQ(base::read_file(*path).value_or(""), "hello");
    EXPECT_TRUE(co_await blobs.remove(*digest));
    EXPECT_EQ(code_of(co_await blobs.remove(*digest)), ErrorCode::kNotFound);
    EXPECT_EQ(code_of(blobs.size(*digest)), ErrorCode::kNotFound);
    EXPECT_EQ(code_of(co_await blobs.read(*digest, 5)), ErrorCode::kNotFound);
    EXPECT_EQ((co_await blobs.put("")).value_or(""), digest_of(""));
  });
  EXPECT_EQ(uploads_left(), 0u);
}

TEST_F(FileBlobsTest, RefusesDigestsThatAreNone) {
  EXPECT_TRUE(valid_digest(digest_of("")));
  const std::string upper = "sha256:" + std::string(64, 'A'), up = "sha256:../../" + std::string(58, 'a');
  run([&](BlobStore& blobs) -> async::Task<> {
    for (const std::string& bad : {std::string(), std::string("sha256:"), upper, up, std::string(64, 'a'),
                                   "sha512:" + std::string(64, 'a'), "sha256:" + std::string(65, 'a')}) {
      EXPECT_FALSE(valid_digest(bad));
      EXPECT_EQ(code_of(blobs.size(bad)), ErrorCode::kInvalid);
      EXPECT_EQ(code_of(blobs.path(bad)), ErrorCode::kInvalid);
      EXPECT_EQ(code_of(blobs.pin(bad)), ErrorCode::kInvalid);
      EXPECT_EQ(code_of(co_await blobs.read(bad, 1)), ErrorCode::kInvalid);
      EXPECT_EQ(code_of(co_await blobs.remove(bad)), ErrorCode::kInvalid);
    }
    for (const std::string bad : {"", "..", "../../../../../../../../../../etc/passwd", "x"})
      EXPECT_EQ(code_of(co_await blobs.resume(bad)), ErrorCode::kNotFound);
  });
}

TEST_F(FileBlobsTest, UploadInPieces) {
  run([&](BlobStore& blobs) -> async::Task<> {
    auto upload = co_await blobs.begin();
    CO_ASSERT(upload);
    std::string whole;
    for (int i = 0; i < 20; ++i) {
      std::string piece(static_cast<std::size_t>(i * 1000), static_cast<char>('a' + i));
      whole += piece;
      CO_ASSERT(co_await (*upload)->append(piece));
      EXPECT_EQ((*upload)->size(), whole.size());
    }
    EXPECT_EQ(code_of(blobs.size(digest_of(whole))), ErrorCode::kNotFound) << "visible before it is finished";
    EXPECT_EQ(code_of(co_await (*upload)->finish("sha256:short")), ErrorCode::kInvalid);
    auto finished = co_await (*upload)->finish(digest_of(whole));
    CO_ASSERT(finished);
    EXPECT_EQ((co_await blobs.read(digest_of(whole), whole.size())).value_or(""), whole);
    EXPECT_EQ(code_of(co_await (*upload)->append("more")), ErrorCode::kNotFound);
    EXPECT_EQ(code_of(co_await (*upload)->finish(digest_of(whole))), ErrorCode::kNotFound);
    EXPECT_EQ(code_of(co_await blobs.resume((*upload)->id())), ErrorCode::kNotFound);
  });
  EXPECT_EQ(uploads_left(), 0u);
}

TEST_F(FileBlobsTest, AWrongDigestEndsTheUpload) {
  run([&](BlobStore& blobs) -> async::Task<> {
    auto upload = co_await blobs.begin();
    CO_ASSERT(upload);
    CO_ASSERT(co_await (*upload)->append("hello"));
    EXPECT_EQ(code_of(co_await (*upload)->finish(digest_of("other"))), ErrorCode::kInvalid);
    EXPECT_EQ(code_of(co_await (*upload)->append("x")), ErrorCode::kNotFound);
    EXPECT_EQ(code_of(blobs.size(digest_of("hello"))), ErrorCode::kNotFound);
  });
  EXPECT_EQ(uploads_left(), 0u);
}

TEST_F(FileBlobsTest, AnUploadIsResumedAfterARestart) {
  std::string id;
  const std::string first(70u << 20, 'f');  // over the distance at which the digest's state is saved
  run([&](BlobStore& blobs) -> async::Task<> {
    auto upload = co_await blobs.begin();
    CO_ASSERT(upload);
    id = (*upload)->id();
    for (std::size_t at = 0; at < first.size(); at += 1u << 20)
      CO_ASSERT(co_await (*upload)->append(first.substr(at, 1u << 20)));
    auto same = co_await blobs.resume(id);
    CO_ASSERT(same);
    EXPECT_EQ(*same, *upload) << "two requests on one upload share it";
  });
  run([&](BlobStore& blobs) -> async::Task<> {
    auto upload = co_await blobs.resume(id);
    CO_ASSERT(upload);
    EXPECT_EQ((*upload)->size(), first.size());
    CO_ASSERT(co_await (*upload)->append("tail"));
    EXPECT_TRUE(co_await (*upload)->finish(digest_of(first + "tail")));
  });
}

TEST_F(FileBlobsTest, AbortAndExpiry) {
  run([&](BlobStore& blobs) -> async::Task<> {
    auto aborted = co_await blobs.begin();
    auto held = co_await blobs.begin();
    auto dropped = co_await blobs.begin();
    CO_ASSERT(aborted && held && dropped);
    CO_ASSERT(co_await (*dropped)->append("data"));
    const std::string id = (*dropped)->id();
    dropped->reset();
    co_await (*aborted)->abort();
    co_await (*aborted)->abort();
    EXPECT_EQ(code_of(co_await (*aborted)->append("x")), ErrorCode::kNotFound);
    EXPECT_EQ(co_await blobs.expire_uploads(1h), 0u);
    EXPECT_TRUE(co_await blobs.resume(id));
    EXPECT_EQ(co_await blobs.expire_uploads(-1s), 1u);
    EXPECT_EQ(code_of(co_await blobs.resume(id)), ErrorCode::kNotFound);
    EXPECT_TRUE(co_await (*held)->append("still there"));
    EXPECT_EQ(uploads_left(), 1u);
  });
}

async::Task<> append(BlobUpload& upload, std::string data, std::optional<base::Result<>>* out) {
  *out = co_await upload.append(std::move(data));
}

TEST_F(FileBlobsTest, OneOperationAtATime) {
  const std::string large(64u << 20, 'x');  // takes long enough for the next to find it under way
  const std::string digest = digest_of(large);
  run([&](BlobStore& blobs) -> async::Task<> {
    auto upload = co_await blobs.begin();
    CO_ASSERT(upload);
    std::optional<base::Result<>> first, second;
    async::TaskGroup group(runtime_->executor(), "test");
    group.spawn("first", append(**upload, large, &first));
    group.spawn("second", append(**upload, "y", &second));
    co_await async::yield();
    EXPECT_EQ(code_of(co_await (*upload)->finish(digest)), ErrorCode::kConflict);
    co_await group.join();
    CO_ASSERT(first && second);
    EXPECT_TRUE(*first);
    EXPECT_EQ(code_of(*second), ErrorCode::kConflict);
    EXPECT_TRUE(co_await (*upload)->finish(digest));
  });
}

TEST_F(FileBlobsTest, APinnedBlobStays) {
  run([&](BlobStore& blobs) -> async::Task<> {
    const std::string digest = *co_await blobs.put("layer");
    auto one = blobs.pin(digest), two = blobs.pin(digest);
    CO_ASSERT(one && two);
    EXPECT_EQ(code_of(co_await blobs.remove(digest)), ErrorCode::kConflict);
    one->reset();
    EXPECT_EQ(code_of(co_await blobs.remove(digest)), ErrorCode::kConflict);
    two->reset();
    EXPECT_TRUE(co_await blobs.remove(digest));
    EXPECT_EQ(code_of(blobs.pin(digest)), ErrorCode::kNotFound);
  });
}

TEST_F(FileBlobsTest, SendingItAgainMakesABlobYoung) {
  run([&](BlobStore& blobs) -> async::Task<> {
    const std::string digest = *co_await blobs.put("layer");
    const fs::path path = *blobs.path(digest);
    const auto old = fs::file_time_type::clock::now() - 100h;
    fs::last_write_time(path, old);
    auto upload = co_await blobs.begin();
    CO_ASSERT(upload);
    CO_ASSERT(co_await (*upload)->append("layer"));
    CO_ASSERT(co_await (*upload)->finish(digest));
    EXPECT_GT(fs::last_write_time(path), old + 99h);
  });
  EXPECT_EQ(uploads_left(), 0u);
}

TEST_F(FileBlobsTest, DamageIsNoticedAndMended) {
  run([&](BlobStore& blobs) -> async::Task<> {
    const std::string digest = *co_await blobs.put("manifest");
    const fs::path path = *blobs.path(digest);
    std::ofstream(path) << "manifesT";
    EXPECT_EQ(code_of(co_await blobs.read(digest, 100)), ErrorCode::kInternal);
    fs::resize_file(path, 3);
    CO_ASSERT(co_await blobs.put("manifest"));
    EXPECT_EQ((co_await blobs.read(digest, 100)).value_or(""), "manifest");
  });
}

TEST_F(FileBlobsTest, VisitsAll) {
  run([&](BlobStore& blobs) -> async::Task<> {
    std::map<std::string, std::uint64_t> expected, seen;
    for (std::size_t i = 0; i < 50; ++i) {
      const std::string content(i, 'x');
      expected[*co_await blobs.put(content)] = i;
    }
    std::ofstream(root_ / "blobs" / "sha256" / "aa" / "stray") << "not a blob";
    co_await blobs.for_each([&](const std::string& digest, std::uint64_t size) { seen[digest] = size; });
    EXPECT_EQ(seen, expected);
  });
}

TEST_F(FileBlobsTest, AFullDiskIsSaidAndSurvived) {
  const SmallDisk disk(root_, "4m");
  if (!disk) GTEST_SKIP() << "may not mount a tmpfs here";
  run([&](BlobStore& blobs) -> async::Task<> {
    const std::string ballast = *co_await blobs.put(std::string(2u << 20, 'b'));
    auto upload = co_await blobs.begin();
    CO_ASSERT(upload);
    CO_ASSERT(co_await (*upload)->append("begin"));
    auto full = co_await (*upload)->append(std::string(3u << 20, 'x'));
    EXPECT_EQ(code_of(full), ErrorCode::kExhausted);
    EXPECT_NE(full.error().message.find("MiB free of 4 MiB"), std::string::npos) << full.error().message;
    EXPECT_EQ((*upload)->size(), 5u);
    EXPECT_EQ(code_of(co_await blobs.put(std::string(3u << 20, 'y'))), ErrorCode::kExhausted);
    EXPECT_TRUE(co_await blobs.remove(ballast));
    CO_ASSERT(co_await (*upload)->append(std::string(3u << 20, 'x')));
    EXPECT_TRUE(co_await (*upload)->finish(digest_of("begin" + std::string(3u << 20, 'x'))));
  });
  EXPECT_EQ(uploads_left(), 0u);
}

}  // namespace
}  // namespace mainstay::store
