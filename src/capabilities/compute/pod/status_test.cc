#include "capabilities/compute/pod/status.h"

#include <gtest/gtest.h>

namespace mainstay::compute {
namespace {

const base::SystemTime kNow = *base::parse_rfc3339("2026-01-02T03:04:05Z");

PodSpec pod() {
  return read_pod(std::make_shared<const json::value>(*base::parse_json(
      R"({"metadata":{"name":"web","namespace":"shop","uid":"u1"},"spec":{"containers":[{"name":"web","image":"img:1","readinessProbe":{"httpGet":{"port":80}}}]}})")));
}

std::string condition(const json::object& status, std::string_view type, std::string_view field) {
  for (const json::value& c : status.at("conditions").as_array()) {
    if (base::get_string(c, "type") == type) return base::get_string(c, field);
  }
  return "absent";
}

TEST(PodStatus, TellsWhatKubectlShows) {
  const PodSpec spec = pod();
  PodState state = new_state(spec);
  state.started = kNow;
  json::object status = pod_status(spec, state, json::object{}, "10.244.0.1", kNow);
  EXPECT_EQ(status["phase"], "Pending");
  EXPECT_EQ(condition(status, "PodScheduled", "status"), "True");
  EXPECT_EQ(condition(status, "Ready", "status"), "False");
  EXPECT_EQ(base::get_string(status["containerStatuses"].as_array()[0], "state.waiting.reason"), "ContainerCreating");

  on_sandbox(state, "10.244.0.9");
  on_started(spec, state, {false, 0}, "abc", "img@sha256:1", kNow);
  status = pod_status(spec, state, status, "10.244.0.1", kNow + std::chrono::seconds(1));
  EXPECT_EQ(status["phase"], "Running");
  EXPECT_EQ(status["podIP"], "10.244.0.9");
  EXPECT_EQ(condition(status, "Ready", "message"), "containers with unready status: [web]");
  EXPECT_EQ(base::get_string(status["containerStatuses"].as_array()[0], "containerID"), "mainstay://abc");

  state.main[0].ready = true;
  const json::object ready = pod_status(spec, state, status, "10.244.0.1", kNow + std::chrono::seconds(2));
  EXPECT_EQ(condition(ready, "Ready", "status"), "True");
  EXPECT_EQ(condition(ready, "Ready", "lastTransitionTime"), "2026-01-02T03:04:07Z");
  EXPECT_EQ(condition(ready, "PodScheduled", "lastTransitionTime"), "2026-01-02T03:04:05Z")
      << "unchanged conditions keep their time";
  EXPECT_EQ(pod_status(spec, state, ready, "10.244.0.1", kNow + std::chrono::seconds(9)), ready)
      << "nothing new, nothing to write";
}

TEST(PodStatus, DeletedPodIsNotReadyAtOnce) {
  const PodSpec spec = pod();
  PodState state = new_state(spec);
  on_sandbox(state, "10.244.0.9");
  on_started(spec, state, {false, 0}, "abc", "img", kNow);
  state.main[0].ready = true;
  state.deleting = true;
  const json::object status = pod_status(spec, state, json::object{}, "10.244.0.1", kNow);
  EXPECT_EQ(condition(status, "Ready", "status"), "False");
  EXPECT_EQ(condition(status, "Ready", "reason"), "PodTerminating");
}

TEST(PodStatus, RecallsWhatItWrote) {
  const PodSpec spec = pod();
  PodState state = new_state(spec);
  state.started = kNow;
  on_sandbox(state, "10.244.0.9");
  on_started(spec, state, {false, 0}, "abc", "img", kNow);
  on_exited(spec, state, {false, 0}, {137, "OOMKilled", "too much", kNow, kNow, "abc"});
  on_started(spec, state, {false, 0}, "def", "img", kNow);
  const json::value status = pod_status(spec, state, json::object{}, "10.244.0.1", kNow);
  PodState again = new_state(spec);
  recall(status, spec, again);
  EXPECT_EQ(again.main[0].attempts, 2);
  ASSERT_TRUE(again.main[0].last);
  EXPECT_EQ(again.main[0].last->reason, "OOMKilled");
  EXPECT_EQ(again.main[0].last->exit_code, 137);
  EXPECT_EQ(again.main[0].last->id, "abc");
  EXPECT_EQ(again.started, kNow);
}

// A container's last words are bytes: the API and a restarted agent read what was written of them.
TEST(PodStatus, LastWordsOfAnyBytesCanBeReadAgain) {
  const PodSpec spec = pod();
  for (const std::string& said : {std::string("caf\xE9"), std::string("cut \xE2\x82"), std::string("\xED\xA0\x80"),
                                  std::string("\xC0\xAF"), std::string("\xF4\x90\x80\x80"), std::string("\xFF")}) {
    PodState state = new_state(spec);
    on_started(spec, state, {false, 0}, "abc", "img", kNow);
    on_exited(spec, state, {false, 0}, {1, "Error", said, kNow, kNow, "abc"});
    on_start_failed(state, {false, 0}, "ErrImagePull", said, kNow);
    const json::object status = pod_status(spec, state, json::object{}, "10.244.0.1", kNow);
    EXPECT_TRUE(base::parse_json(base::to_json(status)));
  }
}

}  // namespace
}  // namespace mainstay::compute
