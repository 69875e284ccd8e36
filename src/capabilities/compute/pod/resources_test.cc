#include "capabilities/compute/pod/resources.h"

#include <gtest/gtest.h>

namespace mainstay::compute {
namespace {

json::value container(std::string_view resources) { return json::object{{"resources", *base::parse_json(resources)}}; }

TEST(Resources, RequestsDefaultToLimits) {
  const auto r = read_resources(container(R"({"limits":{"cpu":"500m","memory":"1Gi"}})"));
  EXPECT_EQ(r.cpu_request_milli, 500);
  EXPECT_EQ(r.memory_request, 1 << 30);
  EXPECT_EQ(cpu_shares(r), 512u);
  EXPECT_EQ(cpu_quota(r), 50'000);
}

TEST(Resources, NoLimitHasNoQuota) {
  const auto r = read_resources(container(R"({})"));
  EXPECT_EQ(cpu_quota(r), std::nullopt) << "-1 would be refused by the kernel";
  EXPECT_EQ(cpu_shares(r), 2u);
  EXPECT_EQ(cpu_quota(read_resources(container(R"({"limits":{"cpu":"1m"}})"))), 1000) << "the kernel's least quota";
}

TEST(Resources, QosClasses) {
  const auto pod = [](std::string_view resources) {
    return json::value(json::object{{"spec", json::object{{"containers", json::array{container(resources)}}}}});
  };
  EXPECT_EQ(qos_class(pod("{}")), "BestEffort");
  EXPECT_EQ(qos_class(pod(R"({"requests":{"cpu":"1"}})")), "Burstable");
  EXPECT_EQ(qos_class(pod(R"({"limits":{"cpu":"1","memory":"1Gi"}})")), "Guaranteed");
}

TEST(Resources, OomScoreNeverBelowOurs) {
  EXPECT_EQ(oom_score_adj("Guaranteed", {}, 1 << 30, 0), 0);
  EXPECT_EQ(oom_score_adj("Guaranteed", {}, 1 << 30, -998), -997);
  EXPECT_EQ(oom_score_adj("BestEffort", {}, 1 << 30, 0), 1000);
  ContainerResources half;
  half.memory_request = 1 << 29;
  EXPECT_EQ(oom_score_adj("Burstable", half, 1 << 30, 0), 500);
}

TEST(Resources, FieldsAreRoundedUp) {
  const json::value c = container(R"({"limits":{"cpu":"1500m"}})");
  EXPECT_EQ(resource_field(c, "limits.cpu", "", 4000, 0), "2");
  EXPECT_EQ(resource_field(c, "limits.cpu", "1m", 4000, 0), "1500");
  EXPECT_EQ(resource_field(c, "limits.memory", "1Mi", 4000, (8 << 20) + 1), "9") << "no limit: the node's";
  EXPECT_EQ(resource_field(c, "limits.gpu", "", 0, 0), std::nullopt);
}

}  // namespace
}  // namespace mainstay::compute
