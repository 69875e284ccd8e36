#include "capabilities/artifacts/collector.h"

#include "capabilities/artifacts/test_world.h"

namespace mainstay::artifacts {
namespace {

using CollectorTest = RegistryTest;

TEST_F(CollectorTest, RemovesOnlyWhatIsOldAndUnused) {
  run([](World& world) -> async::Task<> {
    const auto digest = co_await world.push_image("demo/hello", "v1", "used");
    const auto unused = co_await world.push_blob("demo/hello", "unused");
    auto collected = co_await world.collector().collect();
    EXPECT_EQ(collected.links, 0u);  // too young
    world.clock().advance(std::chrono::hours(25));
    const auto young = co_await world.push_blob("demo/hello", "young");
    collected = co_await world.collector().collect();
    EXPECT_EQ(collected.links, 1u);
    EXPECT_EQ(collected.files, 1u);
    EXPECT_EQ(collected.bytes, 6u);
    EXPECT_FALSE(world.blobs().size(unused));
    EXPECT_TRUE(world.blobs().size(young));
    EXPECT_TRUE(world.blobs().size(digest));
    EXPECT_TRUE(world.blobs().size(digest_of("used")));
    EXPECT_TRUE(world.index().doubts().empty());
  });
}

TEST_F(CollectorTest, WhatAnotherRepositoryUsesStays) {
  run([](World& world) -> async::Task<> {
    co_await world.push_blob("demo/hello", "shared");
    co_await world.push_image("shop/web", "v1", "shared");
    world.clock().advance(std::chrono::hours(25));
    const auto collected = co_await world.collector().collect();
    EXPECT_EQ(collected.links, 1u);
    EXPECT_EQ(collected.files, 0u);
    const auto here = co_await world.call("HEAD", "/v2/demo/hello/blobs/" + digest_of("shared"));
    EXPECT_EQ(here.status, 404);
    const auto there = co_await world.call("GET", "/v2/shop/web/blobs/" + digest_of("shared"));
    EXPECT_EQ(there.body, "shared");
  });
}

TEST_F(CollectorTest, WhatIsAboutToBeUsedStays) {
  run([](World& world) -> async::Task<> {
    const auto digest = co_await world.push_blob("demo/hello", "about to be used");
    world.clock().advance(std::chrono::hours(25));
    {
      const auto pin = co_await world.index().pin({digest});
      const auto collected = co_await world.collector().collect();
      EXPECT_EQ(collected.links, 0u);
    }
    const auto collected = co_await world.collector().collect();
    EXPECT_EQ(collected.links, 1u);
  });
}

TEST_F(CollectorTest, EndsAbandonedUploads) {
  run([](World& world) -> async::Task<> {
    co_await world.call("POST", "/v2/demo/hello/blobs/uploads/");
    world.clock().advance(std::chrono::hours(23));
    const auto begun = co_await world.call("POST", "/v2/demo/hello/blobs/uploads/");
    world.clock().advance(std::chrono::hours(2));
    const auto collected = co_await world.collector().collect();
    EXPECT_EQ(collected.uploads, 1u);
    EXPECT_EQ(world.uploads().open_count(), 1u);
    const auto state = co_await world.call("GET", begun.header("Location"));
    EXPECT_EQ(state.status, 204);
  });
}

TEST_F(CollectorTest, AGoneTeamsImagesGo) {
  run([](World& world) -> async::Task<> {
    const auto digest = co_await world.push_image("shop/web", "v1", "web layer");
    co_await world.push_image("demo/hello", "v1", "hello layer");
    co_await world.call("POST", "/v2/shop/web/blobs/uploads/");
    world.namespaces.erase("shop");
    const auto collected = co_await world.collector().collect();
    EXPECT_EQ(collected.repositories, 1u);
    EXPECT_EQ(world.index().find("shop/web"), nullptr);
    EXPECT_FALSE(world.blobs().size(digest_of("web layer")));
    EXPECT_FALSE(world.blobs().size(digest));
    EXPECT_TRUE(world.blobs().size(digest_of("hello layer")));
    EXPECT_EQ(world.uploads().open_count(), 0u);
    EXPECT_TRUE(world.index().doubts().empty());
  });
}

TEST_F(CollectorTest, MendsWhatAKillLeft) {
  run([](World& world) -> async::Task<> {
    // Killed between making a blob durable and linking it: the file is there, nothing but the doubt knows of it.
    const auto orphan = (co_await world.blobs().put("orphan")).value();
    const auto used = co_await world.push_blob("demo/hello", "used");
    co_await world.index().commit({Doubt{orphan}, Doubt{used}});
    co_await world.close();
    world.open();
    const auto collected = co_await world.collector().collect();
    EXPECT_EQ(collected.files, 1u);
    EXPECT_FALSE(world.blobs().size(orphan));
    EXPECT_TRUE(world.blobs().size(used));
    EXPECT_TRUE(world.index().doubts().empty());
  });
}

}  // namespace
}  // namespace mainstay::artifacts
