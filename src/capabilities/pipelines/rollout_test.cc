#include <gtest/gtest.h>

#include "capabilities/pipelines/deploy.h"

namespace mainstay::pipelines {
namespace {

client::ObjectPtr object(const char* text) { return std::make_shared<const json::value>(boost::json::parse(text)); }
json::value deployment(const char* status) {
  json::value out = boost::json::parse(
      R"({"metadata": {"uid": "d", "generation": 2}, "spec": {"replicas": 2, "progressDeadlineSeconds": 60}})");
  out.as_object()["status"] = boost::json::parse(status);
  return out;
}
using State = Rollout::State;

TEST(Rollout, IsDoneWhenAllPodsAreNewAndAvailable) {
  EXPECT_EQ(rollout_of(
                deployment(R"({"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2})"),
                {}, {}, "r")
                .state,
            State::kGoing);
  EXPECT_EQ(rollout_of(
                deployment(R"({"observedGeneration": 2, "replicas": 3, "updatedReplicas": 2, "availableReplicas": 3})"),
                {}, {}, "r")
                .state,
            State::kGoing);
  EXPECT_EQ(rollout_of(
                deployment(R"({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 1})"),
                {}, {}, "r")
                .state,
            State::kGoing);
  EXPECT_EQ(rollout_of(
                deployment(R"({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2})"),
                {}, {}, "r")
                .state,
            State::kDone);
}

TEST(Rollout, FailsForGoodReasonsOnly) {
  const json::value going =
      deployment(R"({"observedGeneration": 2, "replicas": 3, "updatedReplicas": 1, "availableReplicas": 2})");
  const auto crash = object(
      R"({"metadata": {"name": "p", "annotations": {"mainstay.dev/workflow-run": "r"}}, "status": {"containerStatuses": [
    {"name": "web", "restartCount": 2, "lastState": {"terminated": {"exitCode": 3}}, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]}})");
  const Rollout crashed = rollout_of(going, {}, {crash}, "r");
  EXPECT_EQ(crashed.state, State::kFailed);
  EXPECT_EQ(crashed.failed_pod, "p");
  EXPECT_TRUE(crashed.message.contains("exit code 3"));
  EXPECT_FALSE(crashed.old_serves);
  EXPECT_EQ(rollout_of(going, {}, {crash}, "later").state, State::kGoing) << "pods of another version do not count";
  json::value leaving = *crash;
  base::set(leaving, "metadata.deletionTimestamp", json::value("2026-01-01T00:00:00Z"));
  EXPECT_EQ(rollout_of(going, {}, {std::make_shared<const json::value>(leaving)}, "r").state, State::kGoing);
  // The same release asked for again: pods of the attempt before say nothing of this one.
  json::value again = going;
  base::set(again, "spec.template",
            boost::json::parse(R"({"metadata": {"annotations": {"mainstay.dev/requested-at": "2"}}})"));
  EXPECT_EQ(rollout_of(again, {}, {crash}, "r").state, State::kGoing);
  json::value served = going;
  base::set(served, "metadata.name", json::value("web"));
  const auto old = object(
      R"({"metadata": {"name": "o", "labels": {"app.kubernetes.io/name": "web"}}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}})");
  EXPECT_TRUE(rollout_of(served, {}, {crash, old}, "r").old_serves);
  EXPECT_EQ(rollout_of(served, {}, {crash}, "r").state, State::kGoing) << "a pod of another workload of the run";

  const auto homeless = object(
      R"({"metadata": {"name": "p", "annotations": {"mainstay.dev/workflow-run": "r"}}, "status": {"conditions": [
    {"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available: 1 Insufficient cpu."}]}})");
  const Rollout waiting = rollout_of(going, {}, {homeless}, "r");
  EXPECT_EQ(waiting.state, State::kGoing);
  EXPECT_TRUE(waiting.waits_for_room);
  EXPECT_TRUE(waiting.message.contains("Insufficient cpu")) << waiting.message;

  const auto refused = object(
      R"({"metadata": {"ownerReferences": [{"uid": "d", "controller": true}]}, "spec": {"template": {"metadata": {"annotations": {"mainstay.dev/workflow-run": "r"}}}},
    "status": {"conditions": [{"type": "ReplicaFailure", "status": "True", "message": "no provenance"}]}})");
  EXPECT_TRUE(rollout_of(going, {refused}, {}, "r").message.contains("no provenance"));

  const Rollout late = rollout_of(
      deployment(
          R"({"observedGeneration": 2, "replicas": 3, "updatedReplicas": 1, "conditions": [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]})"),
      {}, {}, "r");
  EXPECT_EQ(late.state, State::kFailed);
}

}  // namespace
}  // namespace mainstay::pipelines
