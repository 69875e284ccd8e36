#include "capabilities/compute/agent/probe.h"

#include <gtest/gtest.h>

namespace mainstay::compute {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Verdict = ProbeTracker::Verdict;

const base::SteadyTime kStart = base::SteadyTime(std::chrono::hours(1));

ProbeSpec every(seconds period, int success = 1, int failure = 3) {
  ProbeSpec out;
  out.period = period;
  out.success_threshold = success;
  out.failure_threshold = failure;
  return out;
}

TEST(ProbeTracker, ReadinessIsAskedEagerlyUntilItFirstHolds) {
  ProbeTracker t(ProbeKind::kReadiness, every(seconds(10)), kStart);
  EXPECT_EQ(t.next_in(kStart), ProbeTracker::kEagerPeriod);
  EXPECT_EQ(t.on_result(false, kStart), Verdict::kUnchanged);
  EXPECT_EQ(t.on_result(true, kStart + milliseconds(50)), Verdict::kUp);
  EXPECT_EQ(t.next_in(kStart + milliseconds(50)), seconds(10));
  ProbeTracker slow(ProbeKind::kReadiness, every(seconds(10)), kStart);
  EXPECT_EQ(slow.next_in(kStart + seconds(11)), seconds(10)) << "not for ever";
}

TEST(ProbeTracker, EagerFailuresCountOnceAPeriod) {
  ProbeTracker t(ProbeKind::kStartup, every(seconds(1), 1, 3), kStart);
  Verdict last = Verdict::kUnchanged;
  base::SteadyTime now = kStart;
  for (; last != Verdict::kDown && now < kStart + seconds(60); now += milliseconds(50)) last = t.on_result(false, now);
  EXPECT_GE(now - kStart, seconds(2)) << "three failures, a second apart";
  EXPECT_LE(now - kStart, seconds(3));
}

TEST(ProbeTracker, ThresholdsInARow) {
  ProbeTracker t(ProbeKind::kLiveness, every(seconds(1), 1, 2), kStart);
  base::SteadyTime now = kStart;
  EXPECT_EQ(t.on_result(false, now += seconds(1)), Verdict::kUnchanged);
  t.on_result(true, now += seconds(1));
  EXPECT_EQ(t.on_result(false, now += seconds(1)), Verdict::kUnchanged) << "counting begins anew";
  EXPECT_EQ(t.on_result(false, now += seconds(1)), Verdict::kDown);
  ProbeTracker twice(ProbeKind::kReadiness, every(seconds(1), 2, 1), kStart);
  EXPECT_EQ(twice.on_result(true, kStart), Verdict::kUnchanged);
  EXPECT_EQ(twice.on_result(true, kStart), Verdict::kUp);
  EXPECT_EQ(twice.on_result(false, kStart), Verdict::kDown);
  EXPECT_EQ(twice.on_result(true, kStart), Verdict::kUnchanged);
  EXPECT_EQ(twice.on_result(true, kStart), Verdict::kUp) << "and up again";
}

TEST(ProbeTracker, LivenessIsNeverEager) {
  ProbeTracker t(ProbeKind::kLiveness, every(seconds(5)), kStart);
  EXPECT_EQ(t.next_in(kStart), seconds(5));
}

}  // namespace
}  // namespace mainstay::compute
