#include "capabilities/pipelines/run_plan.h"

#include <gtest/gtest.h>

#include "capabilities/pipelines/run_store.h"

namespace mainstay::pipelines {
namespace {

class Planning : public testing::Test {
 protected:
  void load(const std::string& jobs) {
    auto parsed = parse_workflow("w", "on: push\njobs:\n" + jobs);
    ASSERT_TRUE(parsed) << parsed.error().message;
    workflow_ = *parsed;
  }
  std::vector<std::string> plan() { return plan_next(run_, workflow_, {{"ref", "refs/heads/main"}}, {}); }
  std::string phase(std::size_t i) { return base::get_string(jobs_of(run_)[i], "phase"); }
  std::string pod(std::size_t i) { return base::get_string(jobs_of(run_)[i], "pod"); }
  void finish(std::size_t i, const char* phase, json::object outputs = {}) {
    jobs_of(run_)[i].as_object()["outputs"] = outputs;
    finish_job(jobs_of(run_)[i].as_object(), phase, "", "t");
  }
  json::value run_ = boost::json::parse(
      R"({"metadata": {"name": "r", "namespace": "shop"}, "spec": {"repository": "web"}, "status": {}})");
  Workflow workflow_;
};

TEST_F(Planning, NeedsAreWaitedFor) {
  load(
      "  a: {steps: [{run: x}]}\n  b: {needs: a, steps: [{run: y}]}\n  c: {needs: [a, b], if: always(), steps: [{run: "
      "z}]}\n");
  plan();
  EXPECT_EQ(pod(0), "r-1");
  EXPECT_EQ(pod(1), "");
  EXPECT_EQ(verdict(run_, nullptr), "");
  finish(0, "Succeeded", {{"v", "1"}});
  plan();
  EXPECT_EQ(pod(1), "r-2");
  EXPECT_EQ(job_to_run(run_, workflow_, {}, 1)->needs,
            boost::json::parse(R"({"a": {"result": "success", "outputs": {"v": "1"}}})").as_object());
  finish(1, "Failed");
  plan();
  EXPECT_EQ(pod(2), "r-3") << "always() runs after a failure";
  finish(2, "Succeeded");
  std::string message;
  EXPECT_EQ(verdict(run_, &message), "Failed");
  EXPECT_TRUE(message.contains("job b failed"));
}

TEST_F(Planning, FailureSkipsWhatNeedsIt) {
  load(
      "  a: {steps: [{run: x}]}\n  b: {needs: a, steps: [{run: y}]}\n  c: {needs: b, steps: [{run: z}]}\n  d: {if: "
      "github.ref == 'x', steps: [{run: z}]}\n");
  plan();
  EXPECT_EQ(phase(3), "Skipped");
  finish(0, "Failed");
  plan();
  EXPECT_EQ(phase(1), "Skipped");
  EXPECT_EQ(phase(2), "Skipped");
  EXPECT_EQ(verdict(run_, nullptr), "Failed");
}

TEST_F(Planning, MatrixSplitsAndFailsFast) {
  load(
      "  m: {strategy: {max-parallel: 2, matrix: {n: [1, 2, 3]}}, steps: [{run: x}]}\n  z: {needs: m, steps: [{run: "
      "y}]}\n");
  plan();
  ASSERT_EQ(jobs_of(run_).size(), 4u);
  EXPECT_EQ(base::get_string(jobs_of(run_)[0], "name"), "m (1)");
  EXPECT_EQ(base::get_string(jobs_of(run_)[2], "name"), "m (2)")
      << "others follow at the end, so that places do not shift";
  EXPECT_EQ(pod(0), "r-1");
  EXPECT_EQ(pod(2), "r-3");
  EXPECT_EQ(pod(3), "") << "max-parallel";
  EXPECT_EQ(job_to_run(run_, workflow_, {}, 2)->matrix.at("n"), json::value(2));
  finish(0, "Failed");
  EXPECT_EQ(plan(), (std::vector<std::string>{"r-3"}));
  EXPECT_EQ(phase(2), "Cancelled");
  EXPECT_EQ(phase(3), "Cancelled");
  plan();
  EXPECT_EQ(phase(1), "Skipped");
  EXPECT_EQ(verdict(run_, nullptr), "Failed");
}

TEST_F(Planning, JobsOfOneNameAreToldApart) {
  load(
      "  a: {name: Test, steps: [{run: x}]}\n  b: {name: Test, steps: [{run: x}]}\n  m: {name: Test, strategy: "
      "{matrix: "
      "{include: [{n: 1}, {n: 1}]}}, steps: [{run: x}]}\n");
  plan();
  std::vector<std::string> names;
  for (const json::value& entry : jobs_of(run_)) names.push_back(base::get_string(entry, "name"));
  EXPECT_EQ(names, (std::vector<std::string>{"Test", "Test #2", "Test #3 (1)", "Test #3 (1) #2"}));
}

TEST_F(Planning, AJobsOwnExpressionsAreEvaluated) {
  load(
      "  a: {strategy: {matrix: {n: [7]}}, timeout-minutes: '${{ matrix.n }}', environment: '${{ github.ref }}', "
      "steps: "
      "[{run: x}]}\n  b: {environment: '${{ fromJSON(''{'') }}', steps: [{run: x}]}\n");
  plan();
  const json::object github{{"ref", "dev"}};
  const auto job = job_to_run(run_, workflow_, github, 0);
  ASSERT_TRUE(job) << job.error().message;
  EXPECT_EQ(job_minutes(job->timeout_minutes), 7);
  EXPECT_EQ(job->environment, "dev");
  const auto faulty = job_to_run(run_, workflow_, github, 1);
  ASSERT_FALSE(faulty);
  EXPECT_TRUE(faulty.error().message.starts_with("environment: ")) << faulty.error().message;
  EXPECT_EQ(job_minutes(nullptr), kDefaultJobMinutes);
  EXPECT_EQ(job_minutes("30"), 30);
  EXPECT_EQ(job_minutes(1e9), kMaxJobMinutes);
  EXPECT_EQ(job_minutes(0.5), 1);
}

TEST_F(Planning, ContinueOnErrorIsNoFailure) {
  load("  a: {continue-on-error: true, steps: [{run: x}]}\n  b: {needs: a, steps: [{run: y}]}\n");
  plan();
  finish(0, "Failed");
  plan();
  EXPECT_EQ(pod(1), "r-2");
  finish(1, "Succeeded");
  EXPECT_EQ(verdict(run_, nullptr), "Succeeded");
}

TEST_F(Planning, CancellingEndsEverything) {
  load("  a: {steps: [{run: x}]}\n  b: {needs: a, steps: [{run: y}]}\n");
  plan();
  run_.at("spec").as_object()["cancel"] = true;
  EXPECT_EQ(plan(), (std::vector<std::string>{"r-1"}));
  EXPECT_EQ(verdict(run_, nullptr), "Cancelled");
}

TEST_F(Planning, AFaultyConditionOrMatrixFailsItsJob) {
  load(
      "  a: {if: \"fromJSON('{')\", steps: [{run: x}]}\n  b: {strategy: {matrix: '${{ fromJSON(github.ref) }}'}, "
      "steps: "
      "[{run: x}]}\n");
  plan();
  EXPECT_EQ(phase(0), "Failed");
  EXPECT_EQ(phase(1), "Failed");
}

TEST(JobPod, CarriesTheJobAndRefusesALargeOne) {
  auto parsed = parse_workflow(
      "w", "on: push\njobs:\n  a: {timeout-minutes: 5, steps: [{run: 'echo ${{ github.sha }}', uses: ''}]}\n");
  ASSERT_TRUE(parsed) << parsed.error().message;
  const json::value run = boost::json::parse(
      R"({"metadata": {"name": "r", "namespace": "shop", "uid": "u"}, "kind": "WorkflowRun", "apiVersion": "mainstay.dev/v1", "spec": {"repository": "web"}})");
  base::Config config;
  JobToRun job{&*parsed, &parsed->jobs[0], "a", 0, {}, {}, 1, 5, ""};
  auto pod = job_pod(run, job, {}, config);
  ASSERT_TRUE(pod);
  EXPECT_EQ(base::get_int(*pod, "spec.activeDeadlineSeconds"), 330);
  EXPECT_EQ(base::label(*pod, kRunLabel), "r");
  EXPECT_TRUE(base::to_json(*pod).contains("github.sha")) << "expressions are left to the runner";
  parsed->jobs[0].steps[0].run = std::string(200000, 'x');
  EXPECT_FALSE(job_pod(run, job, {}, config));
}

TEST(JobPod, SaysWhyAPodEnded) {
  const auto outcome = [](const char* text) { return pod_outcome(boost::json::parse(text)); };
  EXPECT_FALSE(outcome(R"({"status": {"phase": "Running"}})").over);
  EXPECT_FALSE(outcome("{}").over);
  EXPECT_TRUE(
      outcome(
          R"({"status": {"phase": "Pending", "containerStatuses": [{"state": {"waiting": {"reason": "ErrImagePull", "message": "no"}}}]}})")
          .reason.contains("ErrImagePull: no"));
  EXPECT_TRUE(
      outcome(
          R"({"status": {"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"reason": "OOMKilled", "exitCode": 137}}}]}})")
          .reason.contains("memory"));
  EXPECT_TRUE(outcome(R"({"status": {"phase": "Failed", "reason": "DeadlineExceeded"}})").reason.contains("timeout"));
  EXPECT_TRUE(outcome(R"({"status": {"phase": "Succeeded"}})").over);
}

}  // namespace
}  // namespace mainstay::pipelines
