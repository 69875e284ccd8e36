#include "capabilities/artifacts/image_store.h"

#include <gmock/gmock.h>

#include "capabilities/artifacts/test_world.h"

namespace mainstay::artifacts {
namespace {

using ImageStoreTest = RegistryTest;
using platform::ImageReference;

ImageReference ours(const std::string& text) { return ImageReference::parse("127.0.0.1:6443/" + text).value(); }

TEST_F(ImageStoreTest, GivesLayersAsFiles) {
  run([](World& world) -> async::Task<> {
    const auto digest = co_await world.push_image("demo/hello", "v1", "layer");
    const auto image = co_await world.images().image(ours("demo/hello:v1"));
    EXPECT_TRUE(image);
    if (!image) co_return;
    EXPECT_EQ(image->digest, digest);
    EXPECT_EQ(image->repository, "demo/hello");
    EXPECT_EQ(base::get_string(image->config, "os"), "linux");
    EXPECT_EQ(image->layers.at(0).size, 5u);
    EXPECT_EQ(base::read_file(image->layers.at(0).path).value(), "layer");
    const auto resolved = co_await world.images().resolve(ours("demo/hello:v1"));
    EXPECT_EQ(resolved.value(), digest);
  });
}

TEST_F(ImageStoreTest, SaysWhatIsMissing) {
  run([](World& world) -> async::Task<> {
    const auto missing = co_await world.images().image(ours("demo/nothing:v1"));
    EXPECT_EQ(missing.error().code, base::ErrorCode::kNotFound);
    EXPECT_THAT(missing.error().message, testing::HasSubstr("demo/nothing"));
    const auto foreign = co_await world.images().image(ImageReference::parse("unknown.example/a/b").value());
    EXPECT_EQ(foreign.error().code, base::ErrorCode::kNotFound);
    EXPECT_THAT(foreign.error().message, testing::HasSubstr("not a registry this platform caches"));
    const auto nothing = co_await world.images().attach("demo/nothing", digest_of(""), "t/x", "t/x", "content", {});
    EXPECT_EQ(nothing.error().code, base::ErrorCode::kNotFound);
  });
}

TEST_F(ImageStoreTest, GivesNoBlobOfAnotherRepository) {
  run([](World& world) -> async::Task<> {
    co_await world.push_image("shop/private", "v1", "secret");
    const auto config = co_await world.push_blob("demo/hello", R"({"architecture":"amd64","os":"linux"})");
    // With urls a layer need not be uploaded.
    std::string manifest = World::image_manifest(config, 37, digest_of("secret"), 6);
    manifest.insert(manifest.rfind("}]"), R"(,"urls":["https://example.com/l"])");
    const auto pushed = co_await world.call("PUT", "/v2/demo/hello/manifests/v1", manifest,
                                            {{"Content-Type", std::string(media_type::kOciManifest)}});
    EXPECT_EQ(pushed.status, 201) << pushed.body;
    const auto image = co_await world.images().image(ours("demo/hello:v1"));
    EXPECT_FALSE(image);
    if (image) co_return;
    EXPECT_EQ(image.error().code, base::ErrorCode::kNotFound);
    EXPECT_THAT(image.error().message, testing::HasSubstr("is not in repository demo/hello"));
  });
}

TEST_F(ImageStoreTest, AttachesOnce) {
  run([](World& world) -> async::Task<> {
    const auto digest = co_await world.push_image("demo/hello", "v1", "layer");
    std::string first;
    for (int i = 0; i < 2; ++i) {
      const auto attached =
          co_await world.images().attach("demo/hello", digest, "application/spdx+json", "application/spdx+json",
                                         "{\"a\":1}", {{"org.opencontainers.image.created", "now"}});
      EXPECT_TRUE(attached) << attached.error().message;
      if (first.empty()) first = *attached;
      EXPECT_EQ(*attached, first);
    }
    const auto list = co_await world.images().referrers("demo/hello", digest, "application/spdx+json");
    EXPECT_EQ(list->size(), 1u);
    const auto manifest = co_await world.images().manifest("demo/hello", first);
    const auto& layers = base::get_array(*manifest, "layers");
    const auto content = co_await world.images().blob(base::get_string(layers.at(0), "digest"), 100);
    EXPECT_EQ(*content, "{\"a\":1}");
    EXPECT_EQ(base::get_string(*manifest, "subject.digest"), digest);
    // And a client sees it.
    const auto seen = co_await world.call("GET", "/v2/demo/hello/manifests/" + first);
    EXPECT_EQ(seen.status, 200);
  });
}

}  // namespace
}  // namespace mainstay::artifacts
