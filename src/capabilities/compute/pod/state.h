// The life of a pod as a state machine without I/O: what is known of its containers, what happened (the on_…
// functions), and what to do next (decide). pod_worker.cc carries decisions out and reports back.
#pragma once
#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "capabilities/compute/pod/pod_spec.h"

namespace mainstay::compute {

// Restart back-off: doubles from the first to the longest, and starts over once a container has run for kBackoffReset.
inline constexpr std::chrono::milliseconds kBackoffFirst{500};
inline constexpr std::chrono::minutes kBackoffLongest{5};
inline constexpr std::chrono::minutes kBackoffReset{10};

struct Termination {
  int exit_code = 0;
  std::string reason, message;  // Completed, Error, OOMKilled, ContainerStatusUnknown, StartError…
  base::SystemTime started{}, finished{};
  std::string id;
};

struct ContainerState {
  enum class Stage { kWaiting, kStarting, kRunning, kTerminated } stage = Stage::kWaiting;
  std::string waiting_reason, waiting_message;
  int attempts = 0;  // containers started for it; restartCount is one less
  std::string id, image_id;
  base::SystemTime started_at{};
  bool started = false;   // the startup probe has passed, or there is none
  bool ready = false;     // while running: the readiness probe's result
  bool stopping = false;  // asked to end
  std::optional<Termination> current, last;
  std::chrono::nanoseconds backoff{0};
  base::SystemTime not_before{};  // of the next start
  bool running() const { return stage == Stage::kRunning; }
  bool active() const { return stage == Stage::kRunning || stage == Stage::kStarting; }
  int restarts() const { return attempts > 0 ? attempts - 1 : 0; }
};

struct PodState {
  std::vector<ContainerState> init, main;  // as in PodSpec
  bool sandbox = false;                    // network and volumes are there
  std::string ip;
  base::SystemTime sandbox_not_before{};
  std::chrono::nanoseconds sandbox_backoff{0};
  bool deleting = false;
  bool torn_down = false;                     // nothing of it runs, network and mounts are gone
  std::string failed_reason, failed_message;  // the whole pod was failed: DeadlineExceeded
  std::optional<base::SystemTime> started;    // status.startTime: when the agent took it up
};

struct ContainerRef {
  bool init = false;
  std::size_t index = 0;
  auto operator<=>(const ContainerRef&) const = default;
};
struct Decision {
  bool make_sandbox = false;
  std::vector<ContainerRef> start, stop;
  bool tear_down = false;                // release everything but the logs
  bool remove_object = false;            // after the tear-down: delete the API object for good
  std::optional<base::SystemTime> wake;  // decide again then
};

PodState new_state(const PodSpec& spec);
ContainerState& at(PodState& state, ContainerRef ref);
const ContainerState& at(const PodState& state, ContainerRef ref);
const ContainerSpec& at(const PodSpec& spec, ContainerRef ref);

// What to do now. Asks for a thing again until the state says that it is under way or done.
Decision decide(const PodSpec& spec, PodState& state, base::SystemTime now);

void on_starting(PodState& state, ContainerRef ref);
void on_started(const PodSpec& spec, PodState& state, ContainerRef ref, std::string id, std::string image_id,
                base::SystemTime now);
// A start that failed before the container ran: waits with this reason ("ImagePullBackOff") and tries again after a
// back-off.
void on_start_failed(PodState& state, ContainerRef ref, std::string reason, std::string message, base::SystemTime now);
void on_exited(const PodSpec& spec, PodState& state, ContainerRef ref, Termination how);
void on_sandbox(PodState& state, std::string ip);
void on_sandbox_failed(PodState& state, std::string message, base::SystemTime now);

// "Pending", "Running", "Succeeded" or "Failed".
std::string phase_of(const PodSpec& spec, const PodState& state);
bool finished(const PodSpec& spec, const PodState& state);
bool initialized(const PodSpec& spec, const PodState& state);
bool containers_ready(const PodSpec& spec, const PodState& state);
std::chrono::nanoseconds next_backoff(std::chrono::nanoseconds before);

}  // namespace mainstay::compute
