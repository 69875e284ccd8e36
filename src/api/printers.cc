#include "api/printers.h"

#include <fmt/format.h>

#include <set>

#include "base/selector.h"
#include "base/strings.h"

namespace mainstay::api {
namespace json = base::json;
namespace {

constexpr std::string_view kNone = "<none>";

json::value text(std::string_view value) { return json::value(value); }
json::value text_or_none(std::string_view value) { return json::value(value.empty() ? kNone : value); }
json::value joined(const std::vector<std::string>& parts, std::string_view separator = ",") {
  return text_or_none(base::join(parts, separator));
}

// At most three, and how many more there are.
json::value shortened(const std::vector<std::string>& parts) {
  if (parts.size() <= 3) return joined(parts);
  return text(fmt::format("{},{},{} + {} more...", parts[0], parts[1], parts[2], parts.size() - 3));
}

std::string status_of_condition(const json::value& object, std::string_view type) {
  for (const json::value& condition : base::get_array(object, "status.conditions")) {
    if (base::get_string(condition, "type") == type) return base::get_string(condition, "status");
  }
  return "";
}

// ---- pods

struct PodSummary {
  std::int64_t ready = 0, total = 0, restarts = 0;
  std::string status, last_restart;
};

std::string ended(const json::value& terminated) {
  const std::string reason = base::get_string(terminated, "reason");
  if (!reason.empty()) return reason;
  const std::int64_t signal = base::get_int(terminated, "signal");
  if (signal != 0) return fmt::format("Signal:{}", signal);
  return fmt::format("ExitCode:{}", base::get_int(terminated, "exitCode"));
}

void count_restarts(const json::value& status, PodSummary& out) {
  out.restarts += base::get_int(status, "restartCount");
  // RFC 3339 in UTC compares as text.
  out.last_restart = std::max(out.last_restart, base::get_string(status, "lastState.terminated.finishedAt"));
}

// True while the init containers are not through; the status is then theirs.
bool summarise_init(const json::value& pod, PodSummary& out) {
  const json::array& containers = base::get_array(pod, "spec.initContainers");
  const json::array& statuses = base::get_array(pod, "status.initContainerStatuses");
  std::set<std::string> side_cars;
  for (const json::value& container : containers) {
    if (base::get_string(container, "restartPolicy") == "Always") side_cars.insert(base::get_string(container, "name"));
  }
  out.total += static_cast<std::int64_t>(side_cars.size());
  for (std::size_t i = 0; i < statuses.size(); ++i) {
    const json::value& status = statuses[i];
    count_restarts(status, out);
    const json::value* terminated = base::find(status, "state.terminated");
    if (terminated && base::get_int(*terminated, "exitCode") == 0) continue;
    if (side_cars.contains(base::get_string(status, "name")) && base::get_bool(status, "started")) {
      out.ready += base::get_bool(status, "ready") ? 1 : 0;
      continue;
    }
    const std::string waiting = base::get_string(status, "state.waiting.reason");
    if (terminated) {
      out.status = "Init:" + ended(*terminated);
    } else if (!waiting.empty() && waiting != "PodInitializing") {
      out.status = "Init:" + waiting;
    } else {
      out.status = fmt::format("Init:{}/{}", i, containers.size());
    }
    return true;
  }
  return false;
}

void summarise_containers(const json::value& pod, PodSummary& out) {
  const json::array& statuses = base::get_array(pod, "status.containerStatuses");
  bool running = false;
  for (std::size_t i = statuses.size(); i-- > 0;) {  // the first container's word is the last
    const json::value& status = statuses[i];
    count_restarts(status, out);
    const std::string waiting = base::get_string(status, "state.waiting.reason");
    const json::value* terminated = base::find(status, "state.terminated");
    if (!waiting.empty()) {
      out.status = waiting;
    } else if (terminated) {
      out.status = ended(*terminated);
    } else if (base::get_bool(status, "ready") && base::find(status, "state.running")) {
      running = true;
      ++out.ready;
    }
  }
  if (out.status == "Completed" && running)
    out.status = status_of_condition(pod, "Ready") == "True" ? "Running" : "NotReady";
}

PodSummary summarise(const json::value& pod) {
  PodSummary out;
  const std::string phase = base::get_string(pod, "status.phase");
  const std::string reason = base::get_string(pod, "status.reason");
  out.total = static_cast<std::int64_t>(base::get_array(pod, "spec.containers").size());
  out.status = reason.empty() ? phase : reason;
  const bool initialising = summarise_init(pod, out);
  if (!initialising || status_of_condition(pod, "Initialized") == "True") summarise_containers(pod, out);
  if (base::find(pod, "metadata.deletionTimestamp")) {
    if (reason == "NodeLost") {
      out.status = "Unknown";
    } else if (phase != "Succeeded" && phase != "Failed") {
      out.status = "Terminating";
    }
  }
  if (out.status.empty()) out.status = "Unknown";
  return out;
}

json::value pod_ready(const json::value& pod, base::SystemTime) {
  const PodSummary summary = summarise(pod);
  return text(fmt::format("{}/{}", summary.ready, summary.total));
}
json::value pod_status(const json::value& pod, base::SystemTime) { return text(summarise(pod).status); }
json::value pod_restarts(const json::value& pod, base::SystemTime now) {
  const PodSummary summary = summarise(pod);
  if (summary.restarts == 0 || summary.last_restart.empty()) return text(std::to_string(summary.restarts));
  return text(fmt::format("{} ({} ago)", summary.restarts, age_of(summary.last_restart, now)));
}
json::value pod_gates(const json::value& pod, base::SystemTime) {
  const json::array& gates = base::get_array(pod, "spec.readinessGates");
  if (gates.empty()) return text(kNone);
  const auto open = std::ranges::count_if(gates, [&](const json::value& gate) {
    return status_of_condition(pod, base::get_string(gate, "conditionType")) == "True";
  });
  return text(fmt::format("{}/{}", open, gates.size()));
}

// ---- workloads

json::value number(const json::value& object, std::string_view path) { return base::get_int(object, path); }

json::value deployment_ready(const json::value& object, base::SystemTime) {
  return text(
      fmt::format("{}/{}", base::get_int(object, "status.readyReplicas"), base::get_int(object, "spec.replicas")));
}

std::vector<std::string> of_template(const json::value& object, std::string_view field) {
  std::vector<std::string> out;
  for (const json::value& container : base::get_array(object, "spec.template.spec.containers")) {
    out.push_back(base::get_string(container, field));
  }
  return out;
}

json::value workload_selector(const json::value& object, base::SystemTime) {
  const json::value* selector = base::find(object, "spec.selector");
  auto parsed = selector ? base::LabelSelector::from_json(*selector) : base::LabelSelector();
  return text_or_none(parsed ? parsed->to_string() : "");
}

// ---- services and endpoints

json::value service_external(const json::value& object, base::SystemTime) {
  const std::string type = base::get_string(object, "spec.type");
  if (type == "ExternalName") return text_or_none(base::get_string(object, "spec.externalName"));
  std::vector<std::string> addresses;
  if (type == "LoadBalancer") {
    for (const json::value& ingress : base::get_array(object, "status.loadBalancer.ingress")) {
      const std::string ip = base::get_string(ingress, "ip");
      addresses.push_back(ip.empty() ? base::get_string(ingress, "hostname") : ip);
    }
  }
  for (const json::value& ip : base::get_array(object, "spec.externalIPs")) {
    if (ip.is_string()) addresses.emplace_back(ip.get_string());
  }
  if (addresses.empty() && type == "LoadBalancer") return text("<pending>");
  return joined(addresses);
}

json::value service_ports(const json::value& object, base::SystemTime) {
  std::vector<std::string> out;
  for (const json::value& port : base::get_array(object, "spec.ports")) {
    const std::int64_t node_port = base::get_int(port, "nodePort");
    out.push_back(fmt::format("{}{}/{}", base::get_int(port, "port"),
                              node_port > 0 ? fmt::format(":{}", node_port) : "",
                              base::get_string(port, "protocol", "TCP")));
  }
  return joined(out);
}

json::value service_selector(const json::value& object, base::SystemTime) {
  std::vector<std::string> out;
  for (const auto& [key, value] : base::get_object(object, "spec.selector")) {
    if (value.is_string())
      out.push_back(fmt::format("{}={}", std::string_view(key), std::string_view(value.get_string())));
  }
  std::ranges::sort(out);
  return joined(out);
}

json::value endpoints(const json::value& object, base::SystemTime) {
  std::vector<std::string> out;
  for (const json::value& subset : base::get_array(object, "subsets")) {
    for (const json::value& address : base::get_array(subset, "addresses")) {
      const std::string ip = base::get_string(address, "ip");
      const json::array& ports = base::get_array(subset, "ports");
      if (ports.empty()) out.push_back(ip);
      for (const json::value& port : ports) out.push_back(fmt::format("{}:{}", ip, base::get_int(port, "port")));
    }
  }
  return shortened(out);
}

json::value slice_ports(const json::value& object, base::SystemTime) {
  std::vector<std::string> out;
  for (const json::value& port : base::get_array(object, "ports")) {
    const json::value* value = base::find(port, "port");
    out.push_back(value ? std::to_string(base::get_int(port, "port")) : "*");
  }
  return out.empty() ? text("<unset>") : shortened(out);
}

json::value slice_endpoints(const json::value& object, base::SystemTime) {
  std::vector<std::string> out;
  for (const json::value& endpoint : base::get_array(object, "endpoints")) {
    for (const json::value& address : base::get_array(endpoint, "addresses")) {
      if (address.is_string()) out.emplace_back(address.get_string());
    }
  }
  return out.empty() ? text("<unset>") : shortened(out);
}

// ---- nodes

json::value node_status(const json::value& node, base::SystemTime) {
  const std::string ready = status_of_condition(node, "Ready");
  std::string out = ready == "True" ? "Ready" : ready.empty() ? "Unknown" : "NotReady";
  if (base::get_bool(node, "spec.unschedulable")) out += ",SchedulingDisabled";
  return text(out);
}

json::value node_roles(const json::value& node, base::SystemTime) {
  constexpr std::string_view kPrefix = "node-role.kubernetes.io/";
  std::vector<std::string> out;
  for (const auto& member : base::get_object(node, "metadata.labels")) {
    const std::string_view key = member.key();
    if (key.starts_with(kPrefix)) out.emplace_back(key.substr(kPrefix.size()));
  }
  std::ranges::sort(out);
  return joined(out);
}

json::value node_address(const json::value& node, std::string_view type) {
  for (const json::value& address : base::get_array(node, "status.addresses")) {
    if (base::get_string(address, "type") == type) return text(base::get_string(address, "address"));
  }
  return text(kNone);
}

// ---- events

// The first of the times that is set.
json::value age_of_first(const json::value& object, std::initializer_list<std::string_view> paths,
                         base::SystemTime now) {
  for (std::string_view path : paths) {
    const std::string time = base::get_string(object, path);
    if (!time.empty()) return text(age_of(time, now));
  }
  return text("<unknown>");
}

json::value event_last_seen(const json::value& event, base::SystemTime now) {
  return age_of_first(event,
                      {"series.lastObservedTime", "lastTimestamp", "deprecatedLastTimestamp", "eventTime",
                       "firstTimestamp", "metadata.creationTimestamp"},
                      now);
}

json::value event_object(const json::value& event, base::SystemTime) {
  const char* field = base::find(event, "involvedObject") ? "involvedObject" : "regarding";
  const json::value* object = base::find(event, field);
  if (!object) return text(kNone);
  return text(fmt::format("{}/{}", base::lower(base::get_string(*object, "kind")), base::get_string(*object, "name")));
}

json::value event_source(const json::value& event, base::SystemTime) {
  std::string component = base::get_string(event, "source.component");
  if (component.empty()) component = base::get_string(event, "reportingComponent");
  const std::string host = base::get_string(event, "source.host");
  return text(host.empty() ? component : fmt::format("{}, {}", component, host));
}

// ---- RBAC

json::value subjects_of(const json::value& binding, std::string_view kind) {
  std::vector<std::string> out;
  for (const json::value& subject : base::get_array(binding, "subjects")) {
    if (base::get_string(subject, "kind") != kind) continue;
    const std::string ns = base::get_string(subject, "namespace");
    out.push_back(ns.empty() ? base::get_string(subject, "name")
                             : fmt::format("{}/{}", ns, base::get_string(subject, "name")));
  }
  return text(base::join(out, ", "));
}

json::value count(const json::value& object, std::string_view path) {
  return text(std::to_string(base::get_object(object, path).size()));
}

using J = const json::value&;
using T = base::SystemTime;
const std::map<std::string_view, Printer>& printers() {
  static const std::map<std::string_view, Printer> kPrinters{
      {"pod-ready", pod_ready},
      {"pod-status", pod_status},
      {"pod-restarts", pod_restarts},
      {"pod-readiness-gates", pod_gates},
      {"deployment-ready", deployment_ready},
      {"deployment-updated", [](J o, T) { return number(o, "status.updatedReplicas"); }},
      {"deployment-available", [](J o, T) { return number(o, "status.availableReplicas"); }},
      {"replicaset-current", [](J o, T) { return number(o, "status.replicas"); }},
      {"replicaset-ready", [](J o, T) { return number(o, "status.readyReplicas"); }},
      {"template-containers", [](J o, T) { return joined(of_template(o, "name")); }},
      {"template-images", [](J o, T) { return joined(of_template(o, "image")); }},
      {"workload-selector", workload_selector},
      {"service-cluster-ip", [](J o, T) { return text_or_none(base::get_string(o, "spec.clusterIP")); }},
      {"service-external-ip", service_external},
      {"service-ports", service_ports},
      {"service-selector", service_selector},
      {"endpoints", endpoints},
      {"endpointslice-ports", slice_ports},
      {"endpointslice-endpoints", slice_endpoints},
      {"node-status", node_status},
      {"node-roles", node_roles},
      {"node-internal-ip", [](J o, T) { return node_address(o, "InternalIP"); }},
      {"node-external-ip", [](J o, T) { return node_address(o, "ExternalIP"); }},
      {"event-last-seen", event_last_seen},
      {"event-first-seen",
       [](J o, T now) { return age_of_first(o, {"firstTimestamp", "eventTime", "metadata.creationTimestamp"}, now); }},
      {"event-object", event_object},
      {"event-source", event_source},
      {"event-count",
       [](J o, T) { return text(std::to_string(std::max<std::int64_t>(1, base::get_int(o, "count", 1)))); }},
      {"configmap-data",
       [](J o, T) {
         return text(std::to_string(base::get_object(o, "data").size() + base::get_object(o, "binaryData").size()));
       }},
      {"secret-data", [](J o, T) { return count(o, "data"); }},
      {"serviceaccount-secrets", [](J o, T) { return text(std::to_string(base::get_array(o, "secrets").size())); }},
      {"created-at", [](J o, T) { return text(base::get_string(o, "metadata.creationTimestamp")); }},
      {"binding-role",
       [](J o, T) {
         return text(fmt::format("{}/{}", base::get_string(o, "roleRef.kind"), base::get_string(o, "roleRef.name")));
       }},
      {"binding-users", [](J o, T) { return subjects_of(o, "User"); }},
      {"binding-groups", [](J o, T) { return subjects_of(o, "Group"); }},
      {"binding-serviceaccounts", [](J o, T) { return subjects_of(o, "ServiceAccount"); }},
  };
  return kPrinters;
}

}  // namespace

Printer find_printer(std::string_view name) {
  const auto at = printers().find(name);
  return at == printers().end() ? nullptr : at->second;
}

std::string human_duration(std::chrono::nanoseconds duration) {
  const std::int64_t seconds = std::chrono::duration_cast<std::chrono::seconds>(duration).count();
  // Two units while the first is small, one when it is not.
  const auto two = [](std::int64_t first, const char* unit, std::int64_t second, const char* small) {
    return second == 0 ? fmt::format("{}{}", first, unit) : fmt::format("{}{}{}{}", first, unit, second, small);
  };
  if (seconds < -1) return "<invalid>";
  if (seconds < 0) return "0s";
  if (seconds < 120) return fmt::format("{}s", seconds);
  const std::int64_t minutes = seconds / 60, hours = seconds / 3600, days = hours / 24;
  if (minutes < 10) return two(minutes, "m", seconds % 60, "s");
  if (minutes < 180) return fmt::format("{}m", minutes);
  if (hours < 8) return two(hours, "h", minutes % 60, "m");
  if (hours < 48) return fmt::format("{}h", hours);
  if (days < 8) return two(days, "d", hours % 24, "h");
  if (days < 365 * 2) return fmt::format("{}d", days);
  if (days < 365 * 8) return two(days / 365, "y", days % 365, "d");
  return fmt::format("{}y", days / 365);
}

std::string age_of(std::string_view timestamp, base::SystemTime now) {
  auto time = base::parse_rfc3339(timestamp);
  return time ? human_duration(now - *time) : "<unknown>";
}

}  // namespace mainstay::api
