#include "capabilities/artifacts/protocol.h"

#include <gtest/gtest.h>

#include "base/ids.h"
#include "platform/interfaces/images.h"

namespace mainstay::artifacts {
namespace {

using platform::ImageReference;
using Kind = Target::Kind;
const std::string kDigest = "sha256:" + std::string(64, 'a');

TEST(Target, ReadsEveryEndpoint) {
  EXPECT_EQ(parse_target("")->kind, Kind::kBase);
  EXPECT_EQ(parse_target("_catalog")->kind, Kind::kCatalog);
  const auto manifest = parse_target("demo/deep/er/manifests/v1.0");
  ASSERT_TRUE(manifest);
  EXPECT_EQ(manifest->kind, Kind::kManifest);
  EXPECT_EQ(manifest->repository, "demo/deep/er");
  EXPECT_EQ(manifest->reference, "v1.0");
  EXPECT_EQ(parse_target("demo/x/blobs/" + kDigest)->kind, Kind::kBlob);
  EXPECT_EQ(parse_target("demo/x/blobs/uploads/")->kind, Kind::kUploads);
  const auto upload = parse_target("demo/x/blobs/uploads/0123");
  EXPECT_EQ(upload->kind, Kind::kUpload);
  EXPECT_EQ(upload->repository, "demo/x");
  EXPECT_EQ(upload->reference, "0123");
  EXPECT_EQ(parse_target("demo/x/tags/list")->kind, Kind::kTags);
  EXPECT_EQ(parse_target("demo/x/referrers/" + kDigest)->kind, Kind::kReferrers);
}

TEST(Target, RepositoriesMayBeCalledLikeEndpoints) {
  const auto target = parse_target("demo/manifests/blobs/manifests/latest");
  ASSERT_TRUE(target);
  EXPECT_EQ(target->repository, "demo/manifests/blobs");
  EXPECT_EQ(parse_target("demo/blobs/tags/list")->repository, "demo/blobs");
}

TEST(Target, RefusesWhatIsNoName) {
  for (const char* path : {"demo", "demo/x", "manifests/v1", "demo/x/manifests", "demo/x/unknown/v1", "tags/list"}) {
    const auto target = parse_target(path);
    ASSERT_FALSE(target) << path;
    EXPECT_EQ(target.error().code, base::ErrorCode::kNotFound) << path;
  }
  for (const char* name :
       {"..", "../etc", "Demo", "demo/..", "demo//x", "a/.hidden", "a/b_", "a/-b", "a/b..c", "a/b___c"}) {
    const auto target = parse_target(std::string(name) + "/manifests/v1");
    ASSERT_FALSE(target) << name;
    EXPECT_EQ(target.error().code, base::ErrorCode::kInvalid) << name;
  }
  EXPECT_FALSE(parse_target(std::string(5000, 'a') + "/manifests/v1"));
}

TEST(ContentRange, AsTheSpecificationWritesItAndAsClientsDo) {
  EXPECT_EQ(parse_content_range("0-9")->last, 9u);
  EXPECT_EQ(parse_content_range("bytes 10-19/*")->first, 10u);
  EXPECT_EQ(parse_content_range("5-5")->length(), 1u);
  for (const char* bad : {"", "-", "5", "9-0", "a-b", "-5", "0-", "0-99999999999999999999", "0x1-2", "1 - 2"}) {
    EXPECT_FALSE(parse_content_range(bad)) << bad;
  }
}

TEST(Range, OneRangeOrEverything) {
  const auto range = [](std::string_view text, std::uint64_t size) { return parse_range(text, size); };
  EXPECT_EQ((*range("bytes=0-0", 10))->length(), 1u);
  EXPECT_EQ((*range("bytes=5-", 10))->first, 5u);
  EXPECT_EQ((*range("bytes=5-", 10))->last, 9u);
  EXPECT_EQ((*range("bytes=-3", 10))->first, 7u);
  EXPECT_EQ((*range("bytes=-30", 10))->first, 0u);
  EXPECT_EQ((*range("bytes=2-400", 10))->last, 9u);
  for (const char* everything : {"", "bytes=0-1,3-4", "lines=1-2", "bytes=5-2", "bytes=x-", "bytes="}) {
    ASSERT_TRUE(range(everything, 10)) << everything;
    EXPECT_FALSE(*range(everything, 10)) << everything;
  }
  EXPECT_FALSE(range("bytes=10-", 10));
  EXPECT_FALSE(range("bytes=-0", 10));
  EXPECT_FALSE(range("bytes=0-0", 0));
}

TEST(Accept, ListsAndWildcards) {
  net::Headers headers;
  EXPECT_TRUE(accepts(headers, media_type::kOciIndex));
  headers.add("Accept", "application/vnd.oci.image.manifest.v1+json;q=0.5, text/html");
  headers.add("accept", std::string(media_type::kDockerManifest));
  EXPECT_TRUE(accepts(headers, media_type::kOciManifest));
  EXPECT_TRUE(accepts(headers, media_type::kDockerManifest));
  EXPECT_FALSE(accepts(headers, media_type::kOciIndex));
  headers.add("Accept", "*/*");
  EXPECT_TRUE(accepts(headers, media_type::kOciIndex));
}

TEST(Reference, AsTheEcosystemFillsItIn) {
  const auto text = [](std::string_view in) { return ImageReference::parse(in).value().to_string(); };
  EXPECT_EQ(text("debian"), "docker.io/library/debian:latest");
  EXPECT_EQ(text("bitnami/redis:7"), "docker.io/bitnami/redis:7");
  EXPECT_EQ(text("index.docker.io/library/debian"), "docker.io/library/debian:latest");
  EXPECT_EQ(text("127.0.0.1:6443/demo/hello:main@" + kDigest), "127.0.0.1:6443/demo/hello:main@" + kDigest);
  EXPECT_EQ(text("localhost/demo/hello"), "localhost/demo/hello:latest");
  EXPECT_EQ(text("[::1]:6443/demo/hello:v1"), "[::1]:6443/demo/hello:v1");
  EXPECT_EQ(text("mainstay.dev/runner"), "mainstay.dev/runner:latest");
  EXPECT_EQ(text("ghcr.io/a/b@" + kDigest), "ghcr.io/a/b@" + kDigest);
}

TEST(Reference, RefusesWhatIsMalformed) {
  for (const std::string& bad :
       std::vector<std::string>{"", ":tag", "a:", "a@sha256:short", "a@md5:" + std::string(64, 'a'), "A/b/C",
                                "host:port/a/b", "a/../b", "a b", "a/b:ta g", "http://host/a", "-host.x/a", "host..x/a",
                                "[::1/a", "a:" + std::string(129, 't'), std::string(2000, 'a')}) {
    EXPECT_FALSE(ImageReference::parse(bad)) << bad;
  }
}

TEST(Reference, IsBoundedWithWhatIsFilledIn) {
  EXPECT_TRUE(ImageReference::parse(std::string(247, 'a')));
  EXPECT_FALSE(ImageReference::parse(std::string(248, 'a')));  // library/ makes it 256
}

TEST(Reference, PrintsWhatItReads) {
  for (const std::string& image : std::vector<std::string>{"127.0.0.1:6443/a/b:c", "quay.io/x/y/z@" + kDigest}) {
    const auto once = ImageReference::parse(image).value();
    EXPECT_EQ(ImageReference::parse(once.to_string()).value().to_string(), once.to_string());
  }
}

}  // namespace
}  // namespace mainstay::artifacts
