#include <gtest/gtest.h>

#include "capabilities/cloud/usage/accounting.h"
#include "capabilities/cloud/usage/machine.h"
#include "capabilities/cloud/usage/quota.h"

namespace mainstay::cloud {
namespace {

json::value pod(const char* text) { return base::parse_json(text).value(); }

TEST(Accounting, APodIsItsContainersOrItsLargestInitContainer) {
  const Amount amount = pod_amount(pod(R"({"spec": {
    "containers": [{"resources": {"requests": {"cpu": "100m", "memory": "64Mi"}}},
                   {"resources": {"limits": {"cpu": "1", "memory": "64Mi"}}}],
    "initContainers": [{"resources": {"requests": {"cpu": "200m", "memory": "1Gi"}}}]}})"));
  EXPECT_EQ(amount.cpu_milli, 1100);  // the second asks for what its limit is
  EXPECT_EQ(amount.memory_bytes, 1ll << 30);
  EXPECT_EQ(amount.cpu_limit_milli, 1000);
  EXPECT_EQ(amount.addresses, 1);
}

TEST(Accounting, AMonthIsPricedByTheList) {
  const json::value prices = pod(
      R"({"spec": {"cpuCoreMonth": 10, "memoryGiBMonth": 2, "storageGiBMonth": 0.5, "resources": {"postgres": 8, "big": 40}}})");
  Amount amount;
  amount.cpu_milli = 500;
  amount.memory_bytes = 2ll << 30;
  amount.storage_bytes = 4ll << 30;
  EXPECT_EQ(money(monthly_cost(amount, prices)), "11.00");
  EXPECT_EQ(claim_amount(pod(R"({"spec": {"type": "postgres"}})"), prices).claims, 8);
  EXPECT_EQ(claim_amount(pod(R"({"spec": {"type": "postgres"}, "status": {"class": "big"}})"), prices).claims, 40);
  EXPECT_EQ(claim_amount(pod(R"({"spec": {"type": "redis"}})"), prices).claims, 0);
}

TEST(Accounting, AReportAddsUpByWorkloadAndEnvironment) {
  const auto shared = [](const char* text) { return std::make_shared<const json::value>(pod(text)); };
  TeamObjects team;
  team.environments.push_back(
      {"dev",
       "shop-dev",
       {shared(
            R"({"metadata": {"name": "web-1", "labels": {"app.kubernetes.io/name": "web"}}, "spec": {"containers": [{"resources": {"requests": {"cpu": "250m"}}}]}, "status": {"phase": "Running"}})"),
        shared(
            R"({"metadata": {"name": "web-0", "labels": {"app.kubernetes.io/name": "web"}}, "spec": {"containers": [{"resources": {"requests": {"cpu": "250m"}}}]}, "status": {"phase": "Failed"}})")},
       {shared(
           R"({"metadata": {"name": "web", "labels": {"app.kubernetes.io/name": "web"}}, "spec": {"clusterIP": "10.0.0.1"}})")},
       {},
       {shared(R"({"metadata": {"name": "web-db"}, "spec": {"type": "postgres", "workload": "web"}})")},
       {},
       {},
       {},
       {},
       {}});
  const json::value status =
      usage_status(team, pod(R"({"spec": {"currency": "USD", "cpuCoreMonth": 10, "resources": {"postgres": 8}}})"));
  EXPECT_EQ(base::get_string(status, "currency"), "USD");
  EXPECT_EQ(base::get_string(status, "requested.cpu"), "250m");
  EXPECT_EQ(base::get_int(status, "requested.addresses"), 2);
  EXPECT_EQ(base::get_string(status, "monthlyCost"), "10.50");
  const json::value& dev = base::get_array(status, "environments").at(0);
  ASSERT_EQ(base::get_array(dev, "workloads").size(), 1u);
  EXPECT_EQ(base::get_string(base::get_array(dev, "workloads")[0], "name"), "web");
  EXPECT_EQ(base::get_string(base::get_array(dev, "workloads")[0], "monthlyCost"), "10.50");
}

TEST(Accounting, TheLinesOfABillAddUpToItsSums) {
  TeamObjects team;
  TeamObjects::Environment dev;
  dev.name = "dev";
  for (const char* name : {"a", "b", "c"}) {
    const std::string labels = fmt::format(R"({{"app.kubernetes.io/name": "{}"}})", name);
    dev.pods.push_back(std::make_shared<const json::value>(pod(
        fmt::format(
            R"({{"metadata": {{"name": "{}", "labels": {}}}, "spec": {{"containers": [{{"resources": {{"requests": {{"cpu": "100m"}}}}}}]}}}})",
            name, labels)
            .c_str())));
  }
  // Refused from the start: it is not there, and costs nothing.
  dev.claims = {std::make_shared<const json::value>(
      pod(R"({"metadata": {"name": "x"}, "spec": {"type": "postgres"}, "status": {"phase": "Failed"}})"))};
  team.environments = {dev, dev};
  const json::value status =
      usage_status(team, pod(R"({"spec": {"cpuCoreMonth": 0.33, "resources": {"postgres": 8}}})"));
  double lines = 0, environments = 0;
  for (const json::value& environment : base::get_array(status, "environments")) {
    environments += std::stod(base::get_string(environment, "monthlyCost"));
    for (const json::value& line : base::get_array(environment, "workloads"))
      lines += std::stod(base::get_string(line, "monthlyCost"));
  }
  EXPECT_NEAR(lines, 0.18, 1e-9);  // six of 0.033, each 0.03
  EXPECT_NEAR(environments, lines, 1e-9);
  EXPECT_EQ(base::get_string(status, "monthlyCost"), "0.18");
}

TEST(Accounting, UseIsBesideWhatIsAskedFor) {
  const auto shared = [](const char* text) { return std::make_shared<const json::value>(pod(text)); };
  TeamObjects team;
  team.image_bytes = 3 << 20;
  TeamObjects::Environment own, dev;
  own.ns = "shop";
  dev.name = "dev";
  dev.ns = "shop-dev";
  dev.pods = {shared(
      R"({"metadata": {"name": "web-1", "labels": {"app.kubernetes.io/name": "web"}}, "status": {"podIP": "10.0.0.9"}})")};
  dev.claims = {shared(R"({"metadata": {"name": "web-db"}, "spec": {"type": "postgres", "workload": "web"}})")};
  dev.buckets = {
      shared(
          R"({"metadata": {"name": "web-b", "ownerReferences": [{"kind": "ResourceClaim"}]}, "status": {"bytes": 99}})"),
      shared(R"({"metadata": {"name": "own"}, "status": {"bytes": 65536}})")};
  dev.quotas = {
      shared(R"({"status": {"hard": {"requests.cpu": "2"}, "used": {"requests.cpu": "500m"}}})"),
      shared(R"({"status": {"hard": {"cpu": "1", "memory": "1Gi"}, "used": {"cpu": "500m", "memory": "2Gi"}}})")};
  dev.pods_used["web-1"].cpu_milli = 13;
  dev.claims_used["web-db"].storage_bytes = 8 << 20;
  team.environments = {own, dev};
  const json::value status = usage_status(team, json::object());
  EXPECT_EQ(base::get_string(status, "used.cpu"), "20m");
  EXPECT_EQ(base::get_string(base::get_array(status, "environments")[0], "used.storage"), "3Mi");
  const json::value& line = base::get_array(status, "environments").at(1);
  EXPECT_EQ(base::to_json(*base::find(line, "free")), R"({"cpu":"500m","memory":"0"})");
  EXPECT_EQ(base::get_int(line, "used.addresses"), 1);
  const auto& workloads = base::get_array(line, "workloads");
  ASSERT_EQ(workloads.size(), 2u);  // the claim's bucket is counted with the claim
  EXPECT_EQ(base::get_string(workloads[0], "used.storage"), "64Ki");
  EXPECT_EQ(base::get_string(workloads[1], "used.storage"), "8Mi");
}

TEST(Accounting, AClaimCostsWhatItSays) {
  EXPECT_EQ(claim_amount(pod(R"({"spec": {"type": "x"}, "status": {"monthlyCost": "12.50 EUR"}})"), {}).claims, 12.5);
  EXPECT_EQ(claim_amount(pod(R"({"spec": {"type": "x"}, "status": {"monthlyCost": "no price"}})"), {}).claims, 0);
  EXPECT_EQ(claim_amount(pod(R"({"status": {"driver": "volume", "monthlyCost": "0.20 EUR"}})"), {}).claims, 0);
}

TEST(Machine, IsReadFromTheKernel) {
  const MachineUse first = read_machine("/proc", {});
  EXPECT_EQ(first.cpu_milli, 0);
  EXPECT_GT(first.memory_bytes, 1 << 20);
  EXPECT_GT(first.busy_seconds, 0);
}

TEST(Quota, RefusesWhatGoesOver) {
  const json::value quota = pod(R"({"spec": {"hard": {"pods": "2", "cpu": "1", "limits.memory": "1Gi"}}})");
  const json::value small =
      pod(R"({"spec": {"containers": [{"resources": {"requests": {"cpu": "600m"}, "limits": {"memory": "128Mi"}}}]}})");
  const Holdings one = holdings_of("pods", "", small);
  EXPECT_EQ(over_quota(quota, {}, one), "");
  const std::string why = over_quota(quota, one, one);
  EXPECT_NE(why.find("requested: requests.cpu=600m, used: requests.cpu=600m, limited: requests.cpu=1"),
            std::string::npos)
      << why;
}

TEST(Quota, WhatShrinksIsNeverInTheWay) {
  const json::value quota = pod(R"({"spec": {"hard": {"requests.storage": "1Gi"}}})");
  const Holdings over{{"requests.storage", (3ll << 30) * 1000}}, less{{"requests.storage", -(1ll << 30) * 1000}},
      more{{"requests.storage", 1000}};
  EXPECT_EQ(over_quota(quota, over, less), "");
  EXPECT_NE(over_quota(quota, over, more), "");
}

TEST(Quota, AVolumeThatGrowsCountsAtOnce) {
  const json::value volume = pod(R"({"spec": {"resources": {"requests": {"storage": "1Gi"}}}})"),
                    grown = pod(R"({"spec": {"resources": {"requests": {"storage": "3Gi"}}}})");
  Pending made, grows;
  made.plural = grows.plural = "persistentvolumeclaims";
  made.more = holdings_of(made.plural, "", volume);
  grows.whole = holdings_of(grows.plural, "", grown);
  EXPECT_FALSE(is_known(made, nullptr));
  EXPECT_TRUE(is_known(made, &volume));
  EXPECT_FALSE(is_known(grows, &volume)) << "the cache has it as it was before";
  EXPECT_TRUE(is_known(grows, &grown));
}

TEST(Quota, WhatIsLimitedMustBeDeclared) {
  const json::value quota = pod(R"({"spec": {"hard": {"limits.memory": "1Gi"}}})");
  EXPECT_NE(over_quota(quota, {}, holdings_of("pods", "", pod(R"({"spec": {"containers": [{}]}})")))
                .find("must specify limits.memory"),
            std::string::npos);
}

TEST(Quota, CountsOtherKindsAndNamesWhatItCannot) {
  const json::value quota = pod(R"({"spec": {"hard": {"count/deployments.apps": 1, "count/secrets": "1"}}})");
  EXPECT_TRUE(unknown_names(quota).empty());
  const Holdings deployment = holdings_of("deployments", "apps", json::object());
  EXPECT_EQ(over_quota(quota, {}, deployment), "");
  EXPECT_NE(over_quota(quota, deployment, deployment), "");
  EXPECT_NE(over_quota(quota, holdings_of("secrets", "", json::object()), holdings_of("secrets", "", json::object())),
            "");
  EXPECT_EQ(unknown_names(pod(R"({"spec": {"hard": {"gpus": 1}}})")), std::vector<std::string>{"gpus"});
  EXPECT_EQ(base::to_json(used_json(quota, deployment)), R"({"count/deployments.apps":"1","count/secrets":"0"})");
}

}  // namespace
}  // namespace mainstay::cloud
