#include "capabilities/compute/pod/status.h"

#include "base/utf8.h"
#include "capabilities/compute/pod/resources.h"
#include "reconcile/controller.h"

namespace mainstay::compute {
namespace {

using Stage = ContainerState::Stage;
constexpr std::string_view kIdPrefix = "mainstay://";

json::object container_state(const ContainerState& c) {
  if (c.running()) return {{"running", json::object{{"startedAt", base::rfc3339(c.started_at)}}}};
  if (c.stage == Stage::kTerminated && c.current) return {{"terminated", write_termination(*c.current)}};
  json::object waiting{{"reason", c.waiting_reason.empty() ? "ContainerCreating" : c.waiting_reason}};
  if (!c.waiting_message.empty()) waiting["message"] = base::utf8_text(c.waiting_message);
  return {{"waiting", std::move(waiting)}};
}

json::object container_status(const ContainerSpec& spec, const ContainerState& c, bool init) {
  json::object out{{"name", spec.name},
                   {"image", spec.image},
                   {"imageID", c.image_id},
                   {"restartCount", c.restarts()},
                   {"state", container_state(c)},
                   {"lastState", json::object{}},
                   {"started", c.running() && c.started}};
  const bool init_succeeded = init && c.stage == Stage::kTerminated && c.current && c.current->exit_code == 0;
  out["ready"] = (c.running() && c.ready) || init_succeeded;
  if (!c.id.empty()) out["containerID"] = std::string(kIdPrefix) + c.id;
  if (c.last) out["lastState"] = json::object{{"terminated", write_termination(*c.last)}};
  return out;
}

std::string unready_list(const PodSpec& spec, const PodState& state) {
  std::string names;
  for (std::size_t i = 0; i < state.main.size(); ++i) {
    if (!(state.main[i].running() && state.main[i].ready))
      names += (names.empty() ? "" : " ") + spec.containers[i].name;
  }
  return fmt::format("containers with unready status: [{}]", names);
}

struct Verdict {
  bool ok = false;
  std::string reason, message;
};

void put(json::value& object, std::string_view type, const Verdict& v, base::SystemTime now) {
  reconcile::set_condition(object, type, v.ok ? "True" : "False", v.reason, v.message, now);
}

Verdict verdict_init(const PodSpec& spec, const PodState& state) {
  if (initialized(spec, state) || finished(spec, state)) return {true, finished(spec, state) ? "PodCompleted" : "", ""};
  return {false, "ContainersNotInitialized", "init containers have not completed"};
}

Verdict verdict_ready(const PodSpec& spec, const PodState& state) {
  const std::string phase = phase_of(spec, state);
  if (phase == "Succeeded") return {false, "PodCompleted", ""};
  if (phase == "Failed") return {false, "PodFailed", ""};
  if (state.deleting) return {false, "PodTerminating", "the pod is being deleted"};
  if (containers_ready(spec, state) && initialized(spec, state)) return {true, "", ""};
  return {false, "ContainersNotReady", unready_list(spec, state)};
}

}  // namespace

json::object write_termination(const Termination& how) {
  json::object out{{"exitCode", how.exit_code},
                   {"reason", how.reason},
                   {"startedAt", base::rfc3339(how.started)},
                   {"finishedAt", base::rfc3339(how.finished)}};
  if (how.exit_code > 128 && how.exit_code < 160) out["signal"] = how.exit_code - 128;
  if (!how.message.empty()) out["message"] = base::utf8_text(how.message);
  if (!how.id.empty()) out["containerID"] = std::string(kIdPrefix) + how.id;
  return out;
}

Termination read_termination(const json::value& terminated) {
  Termination out;
  out.exit_code = static_cast<int>(base::get_int(terminated, "exitCode"));
  out.reason = base::get_string(terminated, "reason");
  out.message = base::get_string(terminated, "message");
  out.started = base::parse_rfc3339(base::get_string(terminated, "startedAt")).value_or(base::SystemTime{});
  out.finished = base::parse_rfc3339(base::get_string(terminated, "finishedAt")).value_or(base::SystemTime{});
  out.id = base::get_string(terminated, "containerID");
  if (out.id.starts_with(kIdPrefix)) out.id.erase(0, kIdPrefix.size());
  return out;
}

json::object pod_status(const PodSpec& spec, const PodState& state, const json::value& before, std::string_view host_ip,
                        base::SystemTime now) {
  json::object out{{"phase", phase_of(spec, state)},
                   {"hostIP", host_ip},
                   {"hostIPs", json::array{json::object{{"ip", host_ip}}}},
                   {"qosClass", qos_class(*spec.object)}};
  if (state.started) out["startTime"] = base::rfc3339(*state.started);
  if (!state.ip.empty()) {
    out["podIP"] = state.ip;
    out["podIPs"] = json::array{json::object{{"ip", state.ip}}};
  }
  if (!state.failed_reason.empty()) {
    out["reason"] = state.failed_reason;
    out["message"] = state.failed_message;
  }
  json::value conditions =
      json::object{{"status", json::object{{"conditions", base::get_array(before, "conditions")}}}};
  const Verdict ready = verdict_ready(spec, state);
  Verdict containers = ready;
  if (state.deleting && containers_ready(spec, state)) containers = {true, "", ""};
  put(conditions, "PodScheduled", {true, "", ""}, now);
  put(conditions, "PodReadyToStartContainers", {state.sandbox && !state.torn_down, "", ""}, now);
  put(conditions, "Initialized", verdict_init(spec, state), now);
  put(conditions, "ContainersReady", containers, now);
  put(conditions, "Ready", ready, now);
  out["conditions"] = base::get_array(conditions, "status.conditions");

  json::array mains, inits;
  for (std::size_t i = 0; i < state.main.size(); ++i)
    mains.push_back(container_status(spec.containers[i], state.main[i], false));
  for (std::size_t i = 0; i < state.init.size(); ++i)
    inits.push_back(container_status(spec.init[i], state.init[i], true));
  out["containerStatuses"] = std::move(mains);
  if (!inits.empty()) out["initContainerStatuses"] = std::move(inits);
  return out;
}

void recall(const json::value& status, const PodSpec& spec, PodState& state) {
  const auto each = [&status](std::string_view list, const std::vector<ContainerSpec>& specs,
                              std::vector<ContainerState>& states) {
    for (const json::value& entry : base::get_array(status, list)) {
      const std::string name = base::get_string(entry, "name");
      for (std::size_t i = 0; i < specs.size(); ++i) {
        if (specs[i].name != name) continue;
        ContainerState& c = states[i];
        c.image_id = base::get_string(entry, "imageID");
        if (!base::get_string(entry, "containerID").empty())
          c.attempts = static_cast<int>(base::get_int(entry, "restartCount")) + 1;
        if (const json::value* last = base::find(entry, "lastState.terminated")) c.last = read_termination(*last);
        if (const json::value* current = base::find(entry, "state.terminated")) {
          c.stage = Stage::kTerminated;
          c.current = read_termination(*current);
          c.id = c.current->id;
        }
      }
    }
  };
  each("containerStatuses", spec.containers, state.main);
  each("initContainerStatuses", spec.init, state.init);
  if (auto started = base::parse_rfc3339(base::get_string(status, "startTime"))) state.started = *started;
  if (base::get_string(status, "phase") == "Failed" && !base::get_string(status, "reason").empty()) {
    state.failed_reason = base::get_string(status, "reason");
    state.failed_message = base::get_string(status, "message");
  }
}

}  // namespace mainstay::compute
