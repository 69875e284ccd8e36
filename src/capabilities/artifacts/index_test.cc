#include "capabilities/artifacts/index.h"

#include "capabilities/artifacts/test_world.h"

namespace mainstay::artifacts {
namespace {

using IndexTest = RegistryTest;
const std::string kA = "sha256:" + std::string(64, 'a'), kB = "sha256:" + std::string(64, 'b'),
                  kC = "sha256:" + std::string(64, 'c');

AddManifest manifest(const std::string& digest, const std::string& subject = "") {
  return {.repository = "demo/x",
          .digest = digest,
          .media_type = std::string(media_type::kOciManifest),
          .artifact_type = "t",
          .subject = subject,
          .annotations = R"({"a":"b"})",
          .size = 7,
          .blobs = {kB},
          .manifests = {},
          .pushed = 5};
}

TEST_F(IndexTest, KeepsEverythingAcrossARestart) {
  run([](World& world) -> async::Task<> {
    const auto done =
        co_await world.index().commit({LinkBlob{"demo/x", kB, 3, 1}, manifest(kA, kC), SetTag{"demo/x", "v1", kA, 2},
                                       AddUpload{"u1", "demo/x", "ann"}, Doubt{kC}});
    EXPECT_TRUE(done);
    co_await world.close();
    world.open();
    const auto& index = world.index();
    const auto record = index.manifest("demo/x", "v1");
    EXPECT_TRUE(record);
    if (!record) co_return;
    EXPECT_EQ(record->digest, kA);
    EXPECT_EQ(record->blobs, std::vector<std::string>{kB});
    EXPECT_EQ(record->annotations, R"({"a":"b"})");
    EXPECT_EQ(index.blob("demo/x", kB)->size, 3u);
    EXPECT_EQ(index.find("demo/x")->referrers.at(kC), std::set<std::string>{kA});
    EXPECT_EQ(index.uploads().at("u1").user, "ann");
    EXPECT_TRUE(index.doubts().contains(kC));
    EXPECT_EQ(index.uses(kB), 2u);  // a link and a manifest
  });
}

TEST_F(IndexTest, DroppingAManifestDropsItsTagsAndReferrers) {
  run([](World& world) -> async::Task<> {
    auto& index = world.index();
    co_await index.commit({manifest(kA, kC), SetTag{"demo/x", "v1", kA, 2}, SetTag{"demo/x", "v2", kA, 2}});
    co_await index.commit({DropManifest{"demo/x", kA}});
    EXPECT_EQ(index.find("demo/x"), nullptr);
    EXPECT_EQ(index.uses(kA), 0u);
    EXPECT_EQ(index.uses(kB), 0u);
    co_await world.close();
    world.open();
    EXPECT_EQ(world.index().find("demo/x"), nullptr);
  });
}

TEST_F(IndexTest, RepeatedChangesCountOnce) {
  run([](World& world) -> async::Task<> {
    auto& index = world.index();
    for (int i = 0; i < 3; ++i) co_await index.commit({LinkBlob{"demo/x", kB, 3, i}, manifest(kA)});
    EXPECT_EQ(index.uses(kB), 2u);
    EXPECT_EQ(index.uses(kA), 1u);
    co_await index.commit({UnlinkBlob{"demo/x", kB}});
    co_await index.commit({UnlinkBlob{"demo/x", kB}});
    EXPECT_EQ(index.uses(kB), 1u);
  });
}

TEST_F(IndexTest, WhatIsPinnedIsNotRemovedAndWhatIsRemovedIsNotPinned) {
  run([](World& world) -> async::Task<> {
    auto& index = world.index();
    {
      const auto pin = co_await index.pin({kA});
      EXPECT_FALSE(index.begin_removal(kA));
    }
    auto removal = index.begin_removal(kA);
    EXPECT_TRUE(removal);
    EXPECT_FALSE(index.begin_removal(kA));
    const bool got = (co_await async::with_timeout(index.pin({kB, kA}), std::chrono::milliseconds(20))).has_value();
    EXPECT_FALSE(got);
    removal.reset();
    const auto pin = co_await index.pin({kA});
    EXPECT_TRUE(index.pinned(kA));
  });
}

TEST_F(IndexTest, CommitsWaitForTheDisk) {
  run([](World& world) -> async::Task<> {
    // Not visible before it is durable.
    auto& index = world.index();
    auto commit = index.commit({SetTag{"demo/x", "v1", kA, 1}});
    EXPECT_EQ(index.find("demo/x"), nullptr);
    const auto done = co_await std::move(commit);
    EXPECT_TRUE(done);
    EXPECT_NE(index.find("demo/x"), nullptr);
  });
}

}  // namespace
}  // namespace mainstay::artifacts
