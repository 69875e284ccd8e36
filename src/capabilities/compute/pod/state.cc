#include "capabilities/compute/pod/state.h"

#include <algorithm>

namespace mainstay::compute {
namespace {

using Stage = ContainerState::Stage;

bool should_restart(RestartPolicy policy, const Termination& how) {
  return policy == RestartPolicy::kAlways || (policy == RestartPolicy::kOnFailure && how.exit_code != 0);
}

RestartPolicy policy_of(const PodSpec& spec, ContainerRef ref) {
  if (!ref.init) return spec.restart;
  if (spec.init[ref.index].sidecar) return RestartPolicy::kAlways;
  // An init container that succeeded is done, whatever the pod's policy; one that failed is tried again unless it is
  // Never.
  return spec.restart == RestartPolicy::kNever ? RestartPolicy::kNever : RestartPolicy::kOnFailure;
}

bool init_done(const ContainerSpec& spec, const ContainerState& state) {
  if (spec.sidecar) return state.running() && state.started;
  return state.stage == Stage::kTerminated && state.current && state.current->exit_code == 0;
}

void wake_at(Decision& decision, base::SystemTime when) {
  if (!decision.wake || when < *decision.wake) decision.wake = when;
}

bool any_active(const PodState& state) {
  const auto active = [](const ContainerState& c) { return c.active(); };
  return std::ranges::any_of(state.init, active) || std::ranges::any_of(state.main, active);
}

// Main containers first; sidecars outlive them.
void stop_all(const PodState& state, Decision& decision) {
  bool main_active = false;
  for (std::size_t i = 0; i < state.main.size(); ++i) {
    main_active = main_active || state.main[i].active();
    if (state.main[i].running() && !state.main[i].stopping) decision.stop.push_back({false, i});
  }
  for (std::size_t i = 0; i < state.init.size() && !main_active; ++i) {
    if (state.init[i].running() && !state.init[i].stopping) decision.stop.push_back({true, i});
  }
}

void start_when_due(const ContainerState& state, ContainerRef ref, base::SystemTime now, Decision& decision) {
  if (state.stage != Stage::kWaiting) return;
  if (now >= state.not_before) {
    decision.start.push_back(ref);
  } else {
    wake_at(decision, state.not_before);
  }
}

// True when all init containers are done (sidecars: started).
bool drive_init(const PodSpec& spec, const PodState& state, base::SystemTime now, Decision& decision) {
  for (std::size_t i = 0; i < state.init.size(); ++i) {
    start_when_due(state.init[i], {true, i}, now, decision);
    if (!init_done(spec.init[i], state.init[i])) return false;
  }
  return true;
}

bool end_if_over(const PodSpec& spec, PodState& state, base::SystemTime now, Decision& decision) {
  if (!state.deleting && spec.active_deadline && state.started && !finished(spec, state)) {
    const base::SystemTime deadline = *state.started + *spec.active_deadline;
    if (now >= deadline) {
      state.failed_reason = "DeadlineExceeded";
      state.failed_message = fmt::format("Pod was active on the node longer than the specified deadline of {} s",
                                         spec.active_deadline->count());
    } else {
      wake_at(decision, deadline);
    }
  }
  if (!state.deleting && state.failed_reason.empty() && !finished(spec, state)) return false;
  stop_all(state, decision);
  if (!any_active(state)) {
    decision.tear_down = !state.torn_down;
    decision.remove_object = state.deleting;
  }
  return true;
}

}  // namespace

std::chrono::nanoseconds next_backoff(std::chrono::nanoseconds before) {
  if (before <= std::chrono::nanoseconds(0)) return kBackoffFirst;
  return std::min<std::chrono::nanoseconds>(before * 2, kBackoffLongest);
}

PodState new_state(const PodSpec& spec) {
  PodState out;
  out.init.resize(spec.init.size());
  out.main.resize(spec.containers.size());
  for (ContainerState& c : out.init) c.waiting_reason = "PodInitializing";
  for (ContainerState& c : out.main) c.waiting_reason = spec.init.empty() ? "ContainerCreating" : "PodInitializing";
  return out;
}

ContainerState& at(PodState& state, ContainerRef ref) {
  return ref.init ? state.init.at(ref.index) : state.main.at(ref.index);
}
const ContainerState& at(const PodState& state, ContainerRef ref) {
  return ref.init ? state.init.at(ref.index) : state.main.at(ref.index);
}
const ContainerSpec& at(const PodSpec& spec, ContainerRef ref) {
  return ref.init ? spec.init.at(ref.index) : spec.containers.at(ref.index);
}

Decision decide(const PodSpec& spec, PodState& state, base::SystemTime now) {
  Decision decision;
  if (end_if_over(spec, state, now, decision)) return decision;
  if (!state.sandbox) {
    if (now >= state.sandbox_not_before) {
      decision.make_sandbox = true;
    } else {
      wake_at(decision, state.sandbox_not_before);
    }
    return decision;
  }
  if (!drive_init(spec, state, now, decision)) return decision;
  for (std::size_t i = 0; i < state.main.size(); ++i) start_when_due(state.main[i], {false, i}, now, decision);
  return decision;
}

void on_starting(PodState& state, ContainerRef ref) {
  ContainerState& c = at(state, ref);
  c.stage = Stage::kStarting;
  // A crash loop stays visible until the container really runs.
  if (c.waiting_reason != "CrashLoopBackOff" && c.waiting_reason != "ImagePullBackOff" &&
      c.waiting_reason != "ErrImagePull") {
    c.waiting_reason = "ContainerCreating";
    c.waiting_message.clear();
  }
}

void on_started(const PodSpec& spec, PodState& state, ContainerRef ref, std::string id, std::string image_id,
                base::SystemTime now) {
  ContainerState& c = at(state, ref);
  const ContainerSpec& declared = at(spec, ref);
  c.stage = Stage::kRunning;
  c.waiting_reason.clear();
  c.waiting_message.clear();
  c.id = std::move(id);
  c.image_id = std::move(image_id);
  c.started_at = now;
  c.attempts += 1;
  c.stopping = false;
  c.current.reset();
  c.started = !declared.startup;
  c.ready = c.started && !declared.readiness;
}

void on_start_failed(PodState& state, ContainerRef ref, std::string reason, std::string message, base::SystemTime now) {
  ContainerState& c = at(state, ref);
  c.stage = Stage::kWaiting;
  c.waiting_reason = std::move(reason);
  c.waiting_message = std::move(message);
  c.backoff = next_backoff(c.backoff);
  c.not_before = now + std::chrono::duration_cast<base::SystemTime::duration>(c.backoff);
}

void on_exited(const PodSpec& spec, PodState& state, ContainerRef ref, Termination how) {
  ContainerState& c = at(state, ref);
  c.ready = false;
  c.started = false;
  c.stopping = false;
  const bool over = state.deleting || !state.failed_reason.empty();
  const auto ran = how.finished - how.started;
  if (over || !should_restart(policy_of(spec, ref), how)) {
    c.stage = Stage::kTerminated;
    c.current = std::move(how);
    return;
  }
  if (ran >= kBackoffReset) c.backoff = {};
  c.backoff = next_backoff(c.backoff);
  c.stage = Stage::kWaiting;
  c.waiting_reason = "CrashLoopBackOff";
  c.waiting_message =
      fmt::format("back-off {:.1f}s restarting failed container={} pod={}_{}({})",
                  std::chrono::duration<double>(c.backoff).count(), at(spec, ref).name, spec.name, spec.ns, spec.uid);
  c.not_before = how.finished + std::chrono::duration_cast<base::SystemTime::duration>(c.backoff);
  c.last = std::move(how);
}

void on_sandbox(PodState& state, std::string ip) {
  state.sandbox = true;
  state.ip = std::move(ip);
  state.sandbox_backoff = {};
}

void on_sandbox_failed(PodState& state, std::string message, base::SystemTime now) {
  state.sandbox_backoff = next_backoff(state.sandbox_backoff);
  state.sandbox_not_before = now + std::chrono::duration_cast<base::SystemTime::duration>(state.sandbox_backoff);
  for (ContainerState& c : state.main) c.waiting_message = message;
}

bool initialized(const PodSpec& spec, const PodState& state) {
  for (std::size_t i = 0; i < state.init.size(); ++i) {
    if (!init_done(spec.init[i], state.init[i])) return false;
  }
  return true;
}

std::string phase_of(const PodSpec& spec, const PodState& state) {
  if (!state.failed_reason.empty()) return "Failed";
  bool pending_init = false;
  for (std::size_t i = 0; i < state.init.size(); ++i) {
    const ContainerState& c = state.init[i];
    if (c.stage == Stage::kTerminated && c.current && c.current->exit_code != 0) return "Failed";
    pending_init = pending_init || !(init_done(spec.init[i], c) || (spec.init[i].sidecar && c.attempts > 0));
  }
  std::size_t waiting = 0, stopped = 0, succeeded = 0;
  for (const ContainerState& c : state.main) {
    if (c.stage == Stage::kTerminated && c.current) {
      ++stopped;
      succeeded += c.current->exit_code == 0 ? 1 : 0;
    } else if (!c.running() && c.attempts == 0) {
      ++waiting;
    }
  }
  if (stopped == state.main.size()) return succeeded == stopped ? "Succeeded" : "Failed";
  if (waiting > 0 || (pending_init && waiting == state.main.size())) return "Pending";
  return "Running";
}

bool finished(const PodSpec& spec, const PodState& state) {
  const std::string phase = phase_of(spec, state);
  return phase == "Succeeded" || phase == "Failed";
}

bool containers_ready(const PodSpec& spec, const PodState& state) {
  for (std::size_t i = 0; i < state.init.size(); ++i) {
    if (spec.init[i].sidecar && !(state.init[i].running() && state.init[i].ready)) return false;
  }
  return !state.main.empty() &&
         std::ranges::all_of(state.main, [](const ContainerState& c) { return c.running() && c.ready; });
}

}  // namespace mainstay::compute
