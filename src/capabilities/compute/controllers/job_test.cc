#include "capabilities/compute/controllers/job.h"

#include <gtest/gtest.h>

namespace mainstay::compute {
namespace {
using namespace std::chrono_literals;

const base::SystemTime kNow = *base::parse_rfc3339("2026-01-01T00:01:00Z");

json::value job(std::string_view spec, std::string_view status = "{}") {
  const std::string text = fmt::format(
      R"({{"metadata":{{"name":"j","namespace":"n","uid":"u"}},"spec":{{{}"template":{{"spec":{{"restartPolicy":"Never"}}}}}},"status":{}}})",
      spec.empty() ? "" : std::string(spec) + ",", status);
  return json::parse(text);
}
client::ObjectPtr pod(std::string_view phase, std::string_view finished = "2026-01-01T00:00:00Z") {
  return std::make_shared<const json::value>(json::parse(fmt::format(
      R"({{"metadata":{{"name":"p","creationTimestamp":"2026-01-01T00:00:00Z"}},"status":{{"phase":"{}","containerStatuses":[{{"state":{{"terminated":{{"finishedAt":"{}"}}}}}}]}}}})",
      phase, finished)));
}

TEST(Job, MakesAsManyAsAreStillNeeded) {
  EXPECT_EQ(decide_job(job(""), {}, kNow).create, 1);
  EXPECT_EQ(decide_job(job(R"("parallelism":3,"completions":2)"), {}, kNow).create, 2);
  EXPECT_EQ(decide_job(job(R"("parallelism":3,"completions":9)"), {pod("Running"), pod("Succeeded")}, kNow).create, 2);
  EXPECT_EQ(decide_job(job(""), {pod("Running")}, kNow).create, 0);
}

TEST(Job, IsCompleteOnceEnoughEndedWell) {
  const JobDecision done = decide_job(job(R"("completions":2)"), {pod("Succeeded"), pod("Succeeded")}, kNow);
  EXPECT_EQ(done.ended, "Complete");
  EXPECT_TRUE(done.stop);
  EXPECT_EQ(done.create, 0);
  EXPECT_EQ(decide_job(job("", R"({"succeeded":1})"), {}, kNow).ended, "Complete") << "its pod was deleted since";
}

TEST(Job, BearsSoManyFailuresAndWaitsAfterEach) {
  EXPECT_EQ(decide_job(job(R"("backoffLimit":0)"), {pod("Failed")}, kNow).reason, "BackoffLimitExceeded");
  const JobDecision again = decide_job(job(R"("backoffLimit":1)"), {pod("Failed")}, kNow);
  EXPECT_EQ(again.ended, "");
  EXPECT_EQ(again.create, 1) << "a minute later";
  const JobDecision pause = decide_job(job(""), {pod("Failed", "2026-01-01T00:00:55Z")}, kNow);
  EXPECT_EQ(pause.create, 0);
  ASSERT_TRUE(pause.look_again);
  EXPECT_EQ(*pause.look_again - kNow, 5s);
}

TEST(Job, DeadlineSuspensionAndPolicy) {
  const JobDecision late = decide_job(job(R"("activeDeadlineSeconds":60)", R"({"startTime":"2026-01-01T00:00:00Z"})"),
                                      {pod("Running")}, kNow);
  EXPECT_EQ(late.reason, "DeadlineExceeded");
  EXPECT_TRUE(late.stop);
  const JobDecision early = decide_job(job(R"("activeDeadlineSeconds":61)", R"({"startTime":"2026-01-01T00:00:00Z"})"),
                                       {pod("Running")}, kNow);
  ASSERT_TRUE(early.look_again);
  EXPECT_EQ(*early.look_again - kNow, 1s);
  const JobDecision suspended = decide_job(job(R"("suspend":true)"), {pod("Running")}, kNow);
  EXPECT_TRUE(suspended.stop);
  EXPECT_EQ(suspended.ended, "");
  json::value always = job("");
  base::set(always, "spec.template.spec.restartPolicy", "Always");
  EXPECT_EQ(decide_job(always, {}, kNow).reason, "InvalidTemplate");
}

}  // namespace
}  // namespace mainstay::compute
