#include "capabilities/cloud/resources/postgres_archive.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "base/files.h"
#include "capabilities/cloud/resources/recovered_server.h"

namespace mainstay::cloud {
namespace {
namespace fs = std::filesystem;
using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

const base::SystemTime kStart = base::parse_rfc3339("2026-01-01T00:00:00Z").value();

std::string segment_name(int n) { return fmt::format("0000000100000000{:08X}", n); }
BaseBackup base_at(hours after, int first, std::uint64_t bytes = 100) {
  return {base::rfc3339(kStart + after), kStart + after, segment_name(first), bytes};
}
LogSegment log_at(hours after, int n, std::uint64_t bytes = 10) { return {segment_name(n), kStart + after, bytes}; }
LogSegment lost_at(hours after, int n) { return {segment_name(n), kStart + after, 0, true}; }

std::string chosen(const PostgresArchive& archive, hours after) {
  const auto base = base_for(archive, kStart + after);
  return base ? base->name : "! " + base.error().message;
}

TEST(PostgresArchive, SegmentsFollowOneAnother) {
  EXPECT_EQ(next_segment("000000010000000000000001"), "000000010000000000000002");
  EXPECT_EQ(next_segment("0000000100000000000000FF"), "000000010000000100000000");
  EXPECT_EQ(next_segment("00000002000000AB000000FF"), "00000002000000AC00000000");
  EXPECT_EQ(next_segment("00000002.history"), "");
}

TEST(PostgresArchive, TheNewestBaseBackupBeforeTheMomentIsChosen) {
  const PostgresArchive archive{{base_at(hours(1), 2), base_at(hours(25), 5)},
                                {log_at(hours(1), 2), log_at(hours(2), 3), log_at(hours(25), 4), log_at(hours(25), 5)}};
  EXPECT_EQ(chosen(archive, hours(3)), "2026-01-01T01:00:00Z");
  EXPECT_EQ(chosen(archive, hours(25)), "2026-01-02T01:00:00Z");
  EXPECT_EQ(chosen(archive, hours(99)), "2026-01-02T01:00:00Z");
  EXPECT_EQ(
      chosen(archive, hours(0)),
      "! spec.toTime: 2026-01-01T00:00:00.000000Z is out of reach; choose a moment from 2026-01-01T01:00:00Z to now");
  EXPECT_FALSE(recovery_window(archive)->latest);
}

TEST(PostgresArchive, WithoutABaseBackupThereIsNothing) {
  EXPECT_FALSE(recovery_window({}));
  EXPECT_TRUE(chosen({{}, {log_at(hours(1), 1)}}, hours(2)).starts_with("! there is no base backup yet"));
  EXPECT_EQ(base_due({}, {}, kStart), "there is none");
}

TEST(PostgresArchive, AGapEndsWhatABaseBackupReaches) {
  for (const auto& hole : {std::vector<LogSegment>{}, std::vector<LogSegment>{lost_at(hours(3), 4)}}) {
    PostgresArchive archive{{base_at(hours(1), 2)}, {log_at(hours(1), 2), log_at(hours(2), 3)}};
    archive.segments.insert(archive.segments.end(), hole.begin(), hole.end());
    archive.segments.push_back(log_at(hours(4), 5));
    EXPECT_EQ(chosen(archive, hours(2)), "2026-01-01T01:00:00Z");
    EXPECT_EQ(
        chosen(archive, hours(3)),
        "! spec.toTime: 2026-01-01T03:00:00.000000Z is out of reach; choose a moment from 2026-01-01T01:00:00Z to "
        "2026-01-01T02:00:00Z");
    EXPECT_EQ(base_due(archive, {}, kStart + hours(4)), "the log has a gap since the last");
    // A new base backup: from there on all is well.
    archive.bases.push_back(base_at(hours(5), 6));
    EXPECT_EQ(recovery_window(archive)->earliest, kStart + hours(5));
    EXPECT_EQ(chosen(archive, hours(6)), "2026-01-01T05:00:00Z");
    EXPECT_TRUE(chosen(archive, hours(3)).starts_with("! "));
  }
}

TEST(PostgresArchive, TheLastSegmentBeingLostIsAGap) {
  const PostgresArchive archive{{base_at(hours(1), 2)}, {log_at(hours(1), 2), lost_at(hours(3), 3)}};
  EXPECT_EQ(recovery_window(archive)->latest, kStart + hours(1));
  EXPECT_TRUE(chosen(archive, hours(4)).starts_with("! "));
}

TEST(PostgresArchive, ABaseBackupIsDueOnceADayWhereSomethingWasWritten) {
  PostgresArchive archive{{base_at(hours(1), 2)}, {log_at(hours(1), 2)}};
  EXPECT_EQ(base_due(archive, {}, kStart + hours(500)), "") << "nobody writes";
  archive.segments.push_back(log_at(hours(2), 3));
  EXPECT_EQ(base_due(archive, {}, kStart + hours(24)), "");
  EXPECT_EQ(base_due(archive, {}, kStart + hours(25)), "the last is a day old");
  archive.segments.push_back(log_at(hours(3), 4, 3ull << 30));
  EXPECT_EQ(base_due(archive, {}, kStart + hours(4)), "much was written since the last");
}

TEST(PostgresArchive, WhatIsBeyondTheWindowOrTheBytesGoes) {
  PostgresArchive archive;
  for (int day = 0; day < 10; ++day) archive.bases.push_back(base_at(hours(24 * day), day, 100));
  const ArchiveLimits limits{.window = hours(7 * 24), .bytes = 1 << 20};
  // The eighth day: the first is needed for moments before the second; a minute later it is not.
  EXPECT_EQ(bases_to_drop(archive, limits, kStart + hours(8 * 24) - minutes(1)), 0u);
  EXPECT_EQ(bases_to_drop(archive, limits, kStart + hours(8 * 24)), 1u);
  EXPECT_EQ(bases_to_drop(archive, {.window = hours(7 * 24), .bytes = 350}, kStart), 7u);
  EXPECT_EQ(bases_to_drop(archive, {.window = hours(7 * 24), .bytes = 1}, kStart), 9u) << "the newest stays";
  EXPECT_EQ(bases_to_drop({}, limits, kStart), 0u);
}

class PostgresArchiveFiles : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "archive-XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    root_ = name;
    for (const auto& folder : {bases(), log()}) fs::create_directories(folder);
  }
  void TearDown() override { fs::remove_all(root_); }
  fs::path bases() const { return root_ / "bases"; }
  fs::path log() const { return root_ / "log"; }
  static void put(const fs::path& path, const std::string& text = "x") {
    fs::create_directories(path.parent_path());
    std::ofstream(path) << text;
  }
  base::Result<> publish(const BaseBackup& base) {
    put(bases() / (base.name + ".part") / "base.tar.gz", "0123456789");
    return publish_base(bases(), base);
  }
  fs::path root_;
};

TEST_F(PostgresArchiveFiles, WhatWasPublishedIsReadAgain) {
  const BaseBackup base{"20260101T010000Z", kStart + seconds(7) + std::chrono::microseconds(250), segment_name(2)};
  ASSERT_TRUE(publish(base));
  put(bases() / "20260102T010000Z.part" / "base.tar.gz");
  put(bases() / "20260103T010000Z" / "base.json", "{");
  for (const std::string name : {".gz", ".part", ".00000028.backup.gz"}) put(log() / (segment_name(2) + name));
  put(log() / (segment_name(3) + ".lost"), "");
  const auto archive = read_archive(bases(), log());
  ASSERT_EQ(archive.bases.size(), 1u);
  EXPECT_EQ(archive.bases[0].ended, base.ended);
  EXPECT_EQ(archive.bases[0].first_segment, base.first_segment);
  EXPECT_EQ(archive.bases[0].bytes, 10u);
  ASSERT_EQ(archive.segments.size(), 2u);
  EXPECT_FALSE(archive.segments[0].lost);
  EXPECT_TRUE(archive.segments[1].lost);
}

TEST_F(PostgresArchiveFiles, PruningLeavesWhatTheWindowNeeds) {
  ASSERT_TRUE(publish({"20260101T010000Z", kStart, segment_name(2)}));
  ASSERT_TRUE(publish({"20260102T010000Z", kStart + hours(24), segment_name(4)}));
  put(bases() / "20260103T010000Z.part" / "base.tar.gz");
  for (int n = 1; n <= 5; ++n) put(log() / (segment_name(n) + ".gz"));
  put(log() / (segment_name(2) + ".00000028.backup.gz"));
  put(log() / "00000002.history.gz");
  prune_archive(bases(), log(), {}, kStart + hours(25));
  EXPECT_EQ(read_archive(bases(), log()).bases.size(), 2u);
  EXPECT_FALSE(fs::exists(bases() / "20260103T010000Z.part"));
  EXPECT_FALSE(fs::exists(log() / (segment_name(1) + ".gz"))) << "before the first base backup";
  EXPECT_TRUE(fs::exists(log() / (segment_name(2) + ".gz")));
  prune_archive(bases(), log(), {}, kStart + hours(24 * 8));
  EXPECT_EQ(read_archive(bases(), log()).bases.size(), 1u);
  EXPECT_FALSE(fs::exists(log() / (segment_name(3) + ".gz")));
  EXPECT_FALSE(fs::exists(log() / (segment_name(2) + ".00000028.backup.gz")));
  EXPECT_TRUE(fs::exists(log() / (segment_name(4) + ".gz")));
  EXPECT_TRUE(fs::exists(log() / "00000002.history.gz"));
}

TEST_F(PostgresArchiveFiles, WithoutABaseBackupTheLogDoesNotPileUp) {
  for (int n = 1; n <= 3; ++n) put(log() / (segment_name(n) + ".gz"));
  put(bases() / "20260103T010000Z.part" / "base.tar.gz");
  prune_archive(bases(), log(), {}, kStart);
  EXPECT_FALSE(fs::exists(bases() / "20260103T010000Z.part"));
  EXPECT_FALSE(fs::exists(log() / (segment_name(2) + ".gz")));
  EXPECT_TRUE(fs::exists(log() / (segment_name(3) + ".gz")));
}

TEST_F(PostgresArchiveFiles, WhatCannotBeReadIsNotRemoved) {
  const fs::path base = bases() / "20260101T010000Z";
  put(base / "base.tar.gz");
  put(base / "base.json", "{");
  for (int n = 1; n <= 2; ++n) put(log() / (segment_name(n) + ".gz"));
  prune_archive(bases(), log(), {}, kStart);
  EXPECT_TRUE(fs::exists(base / "base.tar.gz"));
  EXPECT_TRUE(fs::exists(log() / (segment_name(1) + ".gz"))) << "the log that it needs";
  fs::remove(base / "base.json");
  prune_archive(bases(), log(), {}, kStart);
  EXPECT_FALSE(fs::exists(base)) << "its removal was begun";
}

TEST_F(PostgresArchiveFiles, WhatIsLeftOfAnotherServerIsSetAside) {
  EXPECT_TRUE(set_aside_archive(root_, kStart)) << "there is nothing";
  put(root_ / kLogFolder / (segment_name(1) + ".gz"));
  fs::create_directories(root_ / kBasesFolder);
  ASSERT_TRUE(set_aside_archive(root_, kStart));
  EXPECT_TRUE(fs::exists(root_ / "postgres-before-20260101T000000Z" / kLogFolder / (segment_name(1) + ".gz")));
  EXPECT_FALSE(fs::exists(root_ / kLogFolder));
  EXPECT_TRUE(fs::exists(root_ / kBasesFolder)) << "it was empty";
}

TEST_F(PostgresArchiveFiles, WhatDoesNotFitOnTheDiskIsNotBegun) {
  EXPECT_TRUE(check_room(root_, 1, "a base backup"));
  const auto full = check_room(root_, std::uint64_t{1} << 62, "a base backup");
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().code, base::ErrorCode::kExhausted);
  EXPECT_TRUE(full.error().message.starts_with("a base backup needs ")) << full.error().message;
}

TEST(RecoveredServer, OnlyWhatIsFatalIsTold) {
  EXPECT_EQ(recovery_trouble("FATAL:  recovery ended before configured recovery target was reached"),
            "recovery ended before configured recovery target was reached");
  EXPECT_EQ(recovery_trouble("LOG:  restored log file"), "");
  EXPECT_EQ(recovery_trouble("gzip: FATAL:  no"), "");
}

}  // namespace
}  // namespace mainstay::cloud
