#include "capabilities/pipelines/progress.h"

#include <gtest/gtest.h>

#include "base/status.h"
#include "capabilities/pipelines/runner_session.h"

namespace mainstay::pipelines {
namespace {

json::value run() {
  return boost::json::parse(R"({"metadata": {"name": "r", "namespace": "shop"}, "status": {"phase": "Running", "jobs": [
    {"id": "a", "name": "a", "phase": "Pending", "pod": "r-1", "steps": [{"name": "x", "phase": "Pending"}, {"name": "y", "phase": "Pending"}]}]}})");
}

TEST(Progress, IsApplied) {
  json::value object = run();
  EXPECT_TRUE(apply_report(
      object,
      boost::json::parse(
          R"({"job": "a", "phase": "Running", "steps": [{"index": 0, "phase": "Running"}, {"index": 9, "phase": "Failed"}, {"index": 1, "phase": "Odd"}]})"),
      "t1"));
  EXPECT_EQ(object.at_pointer("/status/jobs/0/startedAt"), json::value("t1"));
  EXPECT_EQ(object.at_pointer("/status/jobs/0/steps/0/phase"), json::value("Running"));
  EXPECT_EQ(object.at_pointer("/status/jobs/0/steps/1/phase"), json::value("Pending"));
  EXPECT_TRUE(apply_report(
      object,
      boost::json::parse(
          R"({"job": "a", "images": [{"repository": "shop/web", "digest": "sha256:1"}, {"repository": "bank/x", "digest": "sha256:2"}, {"repository": "shop/web", "digest": "sha256:1"}]})"),
      "t2"));
  EXPECT_EQ(object.at_pointer("/status/images").as_array().size(), 1u)
      << "a run speaks for its team's images, each once";
  EXPECT_TRUE(apply_report(
      object, boost::json::parse(R"({"job": "a", "phase": "Failed", "message": "no", "outputs": {"v": "1"}})"), "t3"));
  EXPECT_EQ(object.at_pointer("/status/jobs/0/steps/0/phase"), json::value("Failed"));
  EXPECT_EQ(object.at_pointer("/status/jobs/0/steps/1/phase"), json::value("Skipped"));
  EXPECT_EQ(object.at_pointer("/status/jobs/0/outputs/v"), json::value("1"));
  EXPECT_FALSE(apply_report(object, boost::json::parse(R"({"job": "a", "phase": "Running"})"), "t4"))
      << "what has ended stays ended";
  EXPECT_FALSE(apply_report(object, boost::json::parse(R"({"job": "zz"})"), "t4"));
}

TEST(Progress, MessagesAreBounded) {
  json::value object = run();
  json::value report = boost::json::parse(R"({"job": "a", "steps": [{"index": 0, "phase": "Failed"}]})");
  report.at_pointer("/steps/0").as_object()["message"] = std::string(1u << 20, 'x');
  apply_report(object, report, "t");
  EXPECT_LT(object.at_pointer("/status/jobs/0/steps/0/message").as_string().size(), 20000u);
}

TEST(Progress, OnlyTheRunsOwnJobsMayReport) {
  api::UserInfo user;
  user.name = "system:serviceaccount:shop:pipeline";
  EXPECT_THROW(check_speaks_for_run(user, {"shop", "r"}), base::StatusError);
  user.extra["mainstay.dev/workflow-run"] = {"shop/r"};
  EXPECT_NO_THROW(check_speaks_for_run(user, {"shop", "r"}));
  EXPECT_THROW(check_speaks_for_run(user, {"shop", "other"}), base::StatusError);
}

TEST(Reports, AreMergedStepByStep) {
  json::object pending;
  merge_report(pending, boost::json::parse(
                            R"({"phase": "Running", "steps": [{"index": 0, "phase": "Running", "startedAt": "a"}]})")
                            .as_object());
  merge_report(
      pending,
      boost::json::parse(
          R"({"steps": [{"index": 0, "phase": "Succeeded"}, {"index": 1, "phase": "Running"}], "images": [{"digest": "x"}]})")
          .as_object());
  EXPECT_EQ(
      pending,
      boost::json::parse(
          R"({"phase": "Running", "steps": [{"index": 0, "phase": "Succeeded", "startedAt": "a"}, {"index": 1, "phase": "Running"}], "images": [{"digest": "x"}]})")
          .as_object());
}

}  // namespace
}  // namespace mainstay::pipelines
