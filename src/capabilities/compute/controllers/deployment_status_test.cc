#include "capabilities/compute/controllers/deployment_status.h"

#include <gtest/gtest.h>

#include "reconcile/controller.h"

namespace mainstay::compute {
namespace {

const base::SystemTime kStart{std::chrono::seconds(1'700'000'000)};

client::ObjectPtr replica_set(std::int64_t asked, std::int64_t have, std::int64_t available) {
  return std::make_shared<const json::value>(json::object{
      {"metadata", json::object{{"name", "web-1"}}},
      {"spec", json::object{{"replicas", asked}}},
      {"status", json::object{{"replicas", have}, {"readyReplicas", available}, {"availableReplicas", available}}}});
}
json::value deployment() {
  return json::object{{"metadata", json::object{{"name", "web"}, {"generation", 4}}},
                      {"spec", json::object{{"replicas", 2}, {"progressDeadlineSeconds", 60}}}};
}
std::string reason(const json::value& d, std::string_view type) {
  const json::value* c = reconcile::find_condition(d, type);
  return c == nullptr ? "" : base::get_string(*c, "reason");
}

TEST(DeploymentStatus, CompletesWithKubectlsReason) {
  json::value d = deployment();
  const auto set = replica_set(2, 2, 2);
  EXPECT_EQ(write_deployment_status(d, {set}, set, 0, kStart), std::nullopt);
  EXPECT_EQ(reason(d, "Progressing"), "NewReplicaSetAvailable");
  EXPECT_EQ(reason(d, "Available"), "MinimumReplicasAvailable");
  EXPECT_EQ(base::get_int(d, "status.observedGeneration"), 4);
  EXPECT_EQ(base::get_int(d, "status.updatedReplicas"), 2);
  EXPECT_EQ(base::find(d, "status.unavailableReplicas"), nullptr);
}

TEST(DeploymentStatus, DeadlineCountsFromTheLastProgress) {
  json::value d = deployment();
  const auto none = replica_set(2, 2, 0), one = replica_set(2, 2, 1);
  auto due = write_deployment_status(d, {none}, none, 0, kStart);
  ASSERT_TRUE(due);
  EXPECT_EQ(*due, kStart + std::chrono::seconds(60));
  EXPECT_EQ(reason(d, "Progressing"), "ReplicaSetUpdated");
  due = write_deployment_status(d, {one}, one, 0, kStart + std::chrono::seconds(50));  // progress: counted anew
  ASSERT_TRUE(due);
  EXPECT_EQ(*due, kStart + std::chrono::seconds(110));
  due = write_deployment_status(d, {one}, one, 0, kStart + std::chrono::seconds(100));
  ASSERT_TRUE(due);
  due = write_deployment_status(d, {one}, one, 0, kStart + std::chrono::seconds(111));
  EXPECT_FALSE(due);
  EXPECT_EQ(reason(d, "Progressing"), "ProgressDeadlineExceeded");
  const auto done = replica_set(2, 2, 2);
  write_deployment_status(d, {done}, done, 0, kStart + std::chrono::seconds(120));
  EXPECT_EQ(reason(d, "Progressing"), "NewReplicaSetAvailable") << "late is still done";
}

TEST(DeploymentStatus, CarriesWhyPodsAreRefused) {
  json::value d = deployment();
  json::value set = *replica_set(2, 0, 0);
  reconcile::set_condition(set, "ReplicaFailure", "True", "FailedCreate", "pods \"x\" is forbidden: image is not ours",
                           kStart);
  const auto refused = std::make_shared<const json::value>(set);
  write_deployment_status(d, {refused}, refused, 0, kStart);
  const json::value* c = reconcile::find_condition(d, "ReplicaFailure");
  ASSERT_NE(c, nullptr);
  EXPECT_EQ(base::get_string(*c, "message"), "pods \"x\" is forbidden: image is not ours");
  const auto fine = replica_set(2, 2, 0);
  write_deployment_status(d, {fine}, fine, 0, kStart);
  EXPECT_EQ(reconcile::find_condition(d, "ReplicaFailure"), nullptr);
}

TEST(DeploymentStatus, TransitionTimeMovesOnlyWithTheStatus) {
  json::value d = deployment();
  set_deployment_condition(d, "Progressing", "True", "A", "a", kStart);
  set_deployment_condition(d, "Progressing", "True", "B", "b", kStart + std::chrono::seconds(5));
  const json::value* c = reconcile::find_condition(d, "Progressing");
  EXPECT_EQ(base::get_string(*c, "lastTransitionTime"), base::rfc3339(kStart));
  EXPECT_EQ(base::get_string(*c, "lastUpdateTime"), base::rfc3339(kStart + std::chrono::seconds(5)));
}

}  // namespace
}  // namespace mainstay::compute
