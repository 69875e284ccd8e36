#include "capabilities/compute/agent/stats.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

namespace mainstay::compute {
namespace {
namespace fs = std::filesystem;

class StatsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/stats-test-XXXXXX";
    sys_ = ::mkdtemp(name);
  }
  void TearDown() override { fs::remove_all(sys_); }
  void write(const std::string& path, const std::string& text) {
    fs::create_directories((sys_ / path).parent_path());
    std::ofstream(sys_ / path) << text;
  }
  fs::path sys_;
};

TEST_F(StatsTest, ReadsVersion1) {
  write("fs/cgroup/cpuacct/m/p/c/cpuacct.usage", "2500000000\n");
  write("fs/cgroup/cpu/m/p/c/cpu.stat", "nr_periods 10\nnr_throttled 3\nthrottled_time 500000000\n");
  write("fs/cgroup/memory/m/p/c/memory.usage_in_bytes", "1000\n");
  write("fs/cgroup/memory/m/p/c/memory.stat", "rss 1\ntotal_rss 400\ntotal_inactive_file 250\n");
  write("fs/cgroup/memory/m/p/c/memory.limit_in_bytes", "9223372036854771712\n");
  platform::ContainerStats stats;
  read_container({sys_, false}, "/m/p/c", stats);
  EXPECT_DOUBLE_EQ(stats.cpu_seconds, 2.5);
  EXPECT_EQ(stats.periods, 10u);
  EXPECT_EQ(stats.throttled, 3u);
  EXPECT_DOUBLE_EQ(stats.throttled_seconds, 0.5);
  EXPECT_EQ(stats.memory_working_set, 750u);
  EXPECT_EQ(stats.memory_rss, 400u);
  EXPECT_EQ(stats.memory_limit, 0u) << "the largest number there is means none";
}

TEST_F(StatsTest, ReadsVersion2AndSurvivesWhatIsMissing) {
  write("fs/cgroup/m/c/cpu.stat", "usage_usec 1500000\nuser_usec 1\n");
  write("fs/cgroup/m/c/memory.current", "100\n");
  write("fs/cgroup/m/c/memory.stat", "anon 60\ninactive_file 300\n");
  write("fs/cgroup/m/c/memory.max", "max\n");
  platform::ContainerStats stats;
  read_container({sys_, true}, "/m/c", stats);
  EXPECT_DOUBLE_EQ(stats.cpu_seconds, 1.5);
  EXPECT_EQ(stats.memory_working_set, 0u);
  EXPECT_EQ(stats.memory_rss, 60u);
  EXPECT_EQ(stats.memory_limit, 0u);
  platform::ContainerStats none;
  read_container({sys_, true}, "/gone", none);
  EXPECT_EQ(none.memory_usage, 0u);
}

TEST_F(StatsTest, TurnsTheLinkAround) {
  write("class/net/v1/statistics/rx_bytes", "7\n");
  write("class/net/v1/statistics/tx_bytes", "9\n");
  platform::PodStats pod;
  read_link({sys_, false}, "v1", pod);
  EXPECT_EQ(pod.sent_bytes, 7u);
  EXPECT_EQ(pod.received_bytes, 9u);
}

}  // namespace
}  // namespace mainstay::compute
