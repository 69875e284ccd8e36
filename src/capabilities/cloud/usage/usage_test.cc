#include <gtest/gtest.h>

#include "capabilities/cloud/usage/accounting.h"
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
       {shared(R"({"metadata": {"name": "web-db"}, "spec": {"type": "postgres", "workload": "web"}})")}});
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
