#include "capabilities/compute/pod/state.h"

#include <gtest/gtest.h>

#include "capabilities/compute/pod/status.h"

namespace mainstay::compute {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

const base::SystemTime kStart = base::SystemTime(std::chrono::hours(24 * 365 * 50));

PodSpec pod(std::string_view policy, int containers = 1, int init = 0, std::string_view more = "") {
  std::string text = R"({"metadata":{"name":"web","namespace":"shop","uid":"u1"},"spec":{"restartPolicy":")" +
                     std::string(policy) + "\"" + std::string(more);
  const auto list = [&text](const char* name, int count, const char* prefix) {
    text += fmt::format(",\"{}\":[", name);
    for (int i = 0; i < count; ++i)
      text += fmt::format("{}{{\"name\":\"{}{}\",\"image\":\"x\"}}", i == 0 ? "" : ",", prefix, i);
    text += "]";
  };
  list("containers", containers, "c");
  if (init > 0) list("initContainers", init, "i");
  text += "}}";
  return read_pod(std::make_shared<const json::value>(*base::parse_json(text)));
}

Termination ended(int code, base::SystemTime at, seconds ran = seconds(1)) {
  Termination out;
  out.exit_code = code;
  out.reason = code == 0 ? "Completed" : "Error";
  out.finished = at;
  out.started = at - ran;
  return out;
}

PodState running(const PodSpec& spec) {
  PodState state = new_state(spec);
  state.started = kStart;
  on_sandbox(state, "10.244.0.5");
  for (std::size_t i = 0; i < spec.containers.size(); ++i)
    on_started(spec, state, {false, i}, "id" + std::to_string(i), "img", kStart);
  return state;
}

TEST(PodSpecTest, NoTimeIsLongerThanTheClocks) {
  const PodSpec spec =
      pod("Always", 1, 0, R"(,"activeDeadlineSeconds":9223372036854775807,"terminationGracePeriodSeconds":-5)");
  EXPECT_EQ(spec.active_deadline, seconds(INT32_MAX));
  EXPECT_EQ(spec.grace, seconds(0));
}

TEST(PodState, MakesTheSandboxThenStartsAllContainers) {
  const PodSpec spec = pod("Always", 2);
  PodState state = new_state(spec);
  EXPECT_TRUE(decide(spec, state, kStart).make_sandbox);
  EXPECT_TRUE(decide(spec, state, kStart).start.empty());
  on_sandbox(state, "10.244.0.5");
  const Decision d = decide(spec, state, kStart);
  EXPECT_FALSE(d.make_sandbox);
  ASSERT_EQ(d.start.size(), 2u);
  on_starting(state, {false, 0});
  on_starting(state, {false, 1});
  EXPECT_TRUE(decide(spec, state, kStart).start.empty());
  EXPECT_EQ(phase_of(spec, state), "Pending");
  on_started(spec, state, {false, 0}, "a", "img", kStart);
  EXPECT_EQ(phase_of(spec, state), "Pending");
  on_started(spec, state, {false, 1}, "b", "img", kStart);
  EXPECT_EQ(phase_of(spec, state), "Running");
  EXPECT_TRUE(containers_ready(spec, state));
}

TEST(PodState, InitContainersRunOneAfterTheOther) {
  const PodSpec spec = pod("Always", 1, 2);
  PodState state = new_state(spec);
  on_sandbox(state, "10.244.0.5");
  Decision d = decide(spec, state, kStart);
  ASSERT_EQ(d.start.size(), 1u);
  EXPECT_EQ(d.start[0], (ContainerRef{true, 0}));
  on_started(spec, state, {true, 0}, "a", "img", kStart);
  EXPECT_TRUE(decide(spec, state, kStart).start.empty());
  EXPECT_EQ(phase_of(spec, state), "Pending");
  on_exited(spec, state, {true, 0}, ended(0, kStart));
  EXPECT_EQ(decide(spec, state, kStart).start.at(0), (ContainerRef{true, 1}));
  on_started(spec, state, {true, 1}, "b", "img", kStart);
  on_exited(spec, state, {true, 1}, ended(3, kStart));
  EXPECT_TRUE(decide(spec, state, kStart).start.empty()) << "backs off";
  EXPECT_EQ(decide(spec, state, kStart + kBackoffFirst).start.at(0), (ContainerRef{true, 1}));
  on_started(spec, state, {true, 1}, "c", "img", kStart);
  on_exited(spec, state, {true, 1}, ended(0, kStart));
  EXPECT_EQ(decide(spec, state, kStart).start.at(0), (ContainerRef{false, 0}));
  EXPECT_TRUE(initialized(spec, state));
}

TEST(PodState, FailedInitOfANeverPodFailsIt) {
  const PodSpec spec = pod("Never", 1, 1);
  PodState state = new_state(spec);
  on_sandbox(state, "10.244.0.5");
  on_started(spec, state, {true, 0}, "a", "img", kStart);
  on_exited(spec, state, {true, 0}, ended(1, kStart));
  EXPECT_EQ(phase_of(spec, state), "Failed");
  EXPECT_TRUE(decide(spec, state, kStart).tear_down);
}

TEST(PodState, CrashLoopBacksOffDoublingAndResets) {
  const PodSpec spec = pod("Always");
  PodState state = running(spec);
  base::SystemTime now = kStart;
  std::chrono::nanoseconds expected = kBackoffFirst;
  for (int i = 0; i < 12; ++i) {
    on_exited(spec, state, {false, 0}, ended(1, now));
    EXPECT_EQ(state.main[0].waiting_reason, "CrashLoopBackOff");
    EXPECT_EQ(state.main[0].not_before - now, expected);
    EXPECT_EQ(decide(spec, state, now).wake, state.main[0].not_before);
    EXPECT_EQ(phase_of(spec, state), "Running");
    now = state.main[0].not_before;
    EXPECT_EQ(decide(spec, state, now).start.size(), 1u);
    on_started(spec, state, {false, 0}, "x", "img", now);
    EXPECT_EQ(state.main[0].restarts(), i + 1);
    expected = std::min<std::chrono::nanoseconds>(expected * 2, kBackoffLongest);
  }
  on_exited(spec, state, {false, 0}, ended(1, now, minutes(11)));
  EXPECT_EQ(state.main[0].not_before - now, kBackoffFirst);
  EXPECT_EQ(state.main[0].last->exit_code, 1);
}

TEST(PodState, PoliciesDecideTheEnd) {
  {
    const PodSpec spec = pod("Never", 2);
    PodState state = running(spec);
    on_exited(spec, state, {false, 0}, ended(0, kStart));
    EXPECT_EQ(phase_of(spec, state), "Running");
    EXPECT_FALSE(containers_ready(spec, state));
    on_exited(spec, state, {false, 1}, ended(2, kStart));
    EXPECT_EQ(phase_of(spec, state), "Failed");
    EXPECT_TRUE(decide(spec, state, kStart).tear_down);
    state.torn_down = true;
    EXPECT_FALSE(decide(spec, state, kStart).tear_down);
    EXPECT_FALSE(decide(spec, state, kStart).remove_object);
  }
  {
    const PodSpec spec = pod("OnFailure");
    PodState state = running(spec);
    on_exited(spec, state, {false, 0}, ended(2, kStart));
    EXPECT_EQ(phase_of(spec, state), "Running");
    on_started(spec, state, {false, 0}, "b", "img", kStart);
    on_exited(spec, state, {false, 0}, ended(0, kStart));
    EXPECT_EQ(phase_of(spec, state), "Succeeded");
  }
}

TEST(PodState, DeletionStopsThenTearsDownThenRemoves) {
  const PodSpec spec = pod("Always", 2);
  PodState state = running(spec);
  state.deleting = true;
  Decision d = decide(spec, state, kStart);
  EXPECT_EQ(d.stop.size(), 2u);
  EXPECT_FALSE(d.tear_down);
  for (auto& c : state.main) c.stopping = true;
  EXPECT_TRUE(decide(spec, state, kStart).stop.empty()) << "asked once";
  on_exited(spec, state, {false, 0}, ended(143, kStart));
  on_exited(spec, state, {false, 1}, ended(0, kStart));
  d = decide(spec, state, kStart);
  EXPECT_TRUE(d.start.empty()) << "no restart while being deleted";
  EXPECT_TRUE(d.tear_down);
  EXPECT_TRUE(d.remove_object);
}

TEST(PodState, DeletionWaitsForAStartUnderWay) {
  const PodSpec spec = pod("Always");
  PodState state = new_state(spec);
  on_sandbox(state, "10.244.0.5");
  on_starting(state, {false, 0});
  state.deleting = true;
  Decision d = decide(spec, state, kStart);
  EXPECT_FALSE(d.tear_down);
  EXPECT_TRUE(d.stop.empty());
  on_started(spec, state, {false, 0}, "a", "img", kStart);
  EXPECT_EQ(decide(spec, state, kStart).stop.size(), 1u);
}

TEST(PodState, ActiveDeadlineFailsThePod) {
  const PodSpec spec = pod("Always", 1, 0, R"(,"activeDeadlineSeconds":10)");
  PodState state = running(spec);
  EXPECT_EQ(decide(spec, state, kStart).wake, kStart + seconds(10));
  const Decision d = decide(spec, state, kStart + seconds(10));
  EXPECT_EQ(d.stop.size(), 1u);
  EXPECT_EQ(state.failed_reason, "DeadlineExceeded");
  EXPECT_EQ(phase_of(spec, state), "Failed");
  on_exited(spec, state, {false, 0}, ended(143, kStart));
  EXPECT_FALSE(decide(spec, state, kStart + seconds(11)).remove_object);
}

TEST(PodState, FailedStartsWaitWithTheirReason) {
  const PodSpec spec = pod("Always");
  PodState state = new_state(spec);
  on_sandbox(state, "10.244.0.5");
  on_starting(state, {false, 0});
  on_start_failed(state, {false, 0}, "ErrImagePull", "no such image", kStart);
  EXPECT_TRUE(decide(spec, state, kStart).start.empty());
  EXPECT_EQ(decide(spec, state, kStart + kBackoffFirst).start.size(), 1u);
  on_starting(state, {false, 0});
  EXPECT_EQ(state.main[0].waiting_reason, "ErrImagePull") << "stays visible while it is tried again";
  EXPECT_EQ(phase_of(spec, state), "Pending");
}

TEST(PodState, SidecarsStartBeforeAndStopAfter) {
  PodSpec spec = pod("Never", 1, 1);
  spec.init[0].sidecar = true;
  PodState state = new_state(spec);
  on_sandbox(state, "10.244.0.5");
  on_started(spec, state, {true, 0}, "s", "img", kStart);
  EXPECT_EQ(decide(spec, state, kStart).start.at(0), (ContainerRef{false, 0}));
  on_started(spec, state, {false, 0}, "m", "img", kStart);
  on_exited(spec, state, {false, 0}, ended(0, kStart));
  EXPECT_EQ(phase_of(spec, state), "Succeeded");
  EXPECT_EQ(decide(spec, state, kStart).stop.at(0), (ContainerRef{true, 0}));
}

}  // namespace
}  // namespace mainstay::compute
