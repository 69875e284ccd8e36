#include "capabilities/compute/metrics/usage.h"

#include <gtest/gtest.h>

namespace mainstay::compute {
namespace {

using namespace std::chrono_literals;

TEST(CpuRates, ComparesWithASampleOfTheLastMinute) {
  CpuRates rates;
  const base::SteadyTime start{1000s};
  EXPECT_FALSE(rates.ready(start));
  EXPECT_TRUE(rates.take({{"a", 10.0}, {"", 100.0}}, start).empty());
  EXPECT_FALSE(rates.ready(start + 500ms));
  EXPECT_TRUE(rates.ready(start + 2s));
  const auto cores = rates.take({{"a", 11.0}, {"new", 5.0}, {"", 103.0}}, start + 2s);
  EXPECT_DOUBLE_EQ(cores.at("a"), 0.5);
  EXPECT_DOUBLE_EQ(cores.at(""), 1.5);
  EXPECT_FALSE(cores.contains("new")) << "nothing is known of before";
  EXPECT_EQ(rates.window(), 2000ms);
  // Asked often, it still looks back a while; and never further than a minute.
  EXPECT_DOUBLE_EQ(rates.take({{"a", 20.0}}, start + 20s).at("a"), 0.5);
  EXPECT_DOUBLE_EQ(rates.take({{"a", 24.0}}, start + 28s).at("a"), 0.5);
  EXPECT_FALSE(rates.ready(start + 200s));
  EXPECT_TRUE(rates.take({{"a", 90.0}}, start + 200s).empty());
  // A counter that begins anew is another container's.
  EXPECT_TRUE(rates.take({{"a", 1.0}}, start + 202s).empty());
}

TEST(CpuRates, PodMetricsLeaveOutWhatIsNotKnown) {
  platform::PodStats pod;
  pod.ns = "shop";
  pod.name = "web";
  pod.containers.resize(2);
  pod.containers[0].name = "app";
  pod.containers[0].id = "1";
  pod.containers[0].memory_working_set = 3 << 20;
  pod.containers[1].name = "young";
  pod.containers[1].id = "2";
  const json::value metrics = pod_metrics(pod, {{"app", "web"}}, {{"1", 0.25}}, "2026-01-01T00:00:00Z", 1400ms);
  EXPECT_EQ(json::serialize(metrics.at("containers")),
            R"([{"name":"app","usage":{"cpu":"250000000n","memory":"3072Ki"}}])");
  EXPECT_EQ(metrics.at("window"), "1s");
  EXPECT_EQ(metrics.at("metadata").at("labels").at("app"), "web");
}

}  // namespace
}  // namespace mainstay::compute
