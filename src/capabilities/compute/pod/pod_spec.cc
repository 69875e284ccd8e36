#include "capabilities/compute/pod/pod_spec.h"

#include <charconv>

namespace mainstay::compute {
namespace {

// At most what 32 bits hold, 68 years: clocks reckon in nanoseconds of 64.
std::chrono::seconds seconds_of(std::int64_t number) {
  return std::chrono::seconds(std::clamp<std::int64_t>(number, 0, INT32_MAX));
}

std::uint16_t port_of(const json::value& container, const json::value* port) {
  if (port == nullptr) return 0;
  std::int64_t number = 0;
  if (port->is_int64()) {
    number = port->as_int64();
  } else if (port->is_string()) {
    const std::string name(port->as_string());
    for (const json::value& declared : base::get_array(container, "ports")) {
      if (base::get_string(declared, "name") == name) number = base::get_int(declared, "containerPort");
    }
    if (number == 0) std::from_chars(name.data(), name.data() + name.size(), number);
  }
  return number > 0 && number < 65536 ? static_cast<std::uint16_t>(number) : 0;
}

std::optional<Handler> read_handler(const json::value& container, const json::value* node) {
  if (node == nullptr || !node->is_object()) return std::nullopt;
  Handler out;
  if (base::find(*node, "exec") != nullptr) {
    out.kind = Handler::Kind::kExec;
    out.command = string_list(*node, "exec.command");
  } else if (const json::value* http = base::find(*node, "httpGet")) {
    out.kind = Handler::Kind::kHttp;
    out.scheme = base::get_string(*http, "scheme") == "HTTPS" ? "https" : "http";
    out.host = base::get_string(*http, "host");
    out.path = base::get_string(*http, "path", "/");
    if (!out.path.starts_with('/')) out.path.insert(0, "/");
    out.port = port_of(container, base::find(*http, "port"));
    for (const json::value& header : base::get_array(*http, "httpHeaders")) {
      out.headers.emplace_back(base::get_string(header, "name"), base::get_string(header, "value"));
    }
  } else if (const json::value* tcp = base::find(*node, "tcpSocket")) {
    out.kind = Handler::Kind::kTcp;
    out.host = base::get_string(*tcp, "host");
    out.port = port_of(container, base::find(*tcp, "port"));
  } else if (base::find(*node, "sleep") != nullptr) {
    out.kind = Handler::Kind::kSleep;
    out.sleep = seconds_of(base::get_int(*node, "sleep.seconds"));
  } else if (base::find(*node, "grpc") != nullptr) {
    out.kind = Handler::Kind::kGrpc;
  } else {
    return std::nullopt;
  }
  return out;
}

std::optional<ProbeSpec> read_probe(const json::value& container, std::string_view key) {
  const json::value* node = base::find(container, {key});
  const auto handler = read_handler(container, node);
  if (!handler) return std::nullopt;
  ProbeSpec out;
  out.handler = *handler;
  const auto seconds = [node](std::string_view path, std::int64_t fallback, std::int64_t least) {
    return seconds_of(std::max(base::get_int(*node, path, fallback), least));
  };
  out.initial_delay = seconds("initialDelaySeconds", 0, 0);
  out.period = seconds("periodSeconds", 10, 1);
  out.timeout = seconds("timeoutSeconds", 1, 1);
  out.success_threshold = static_cast<int>(std::max<std::int64_t>(base::get_int(*node, "successThreshold", 1), 1));
  out.failure_threshold = static_cast<int>(std::max<std::int64_t>(base::get_int(*node, "failureThreshold", 3), 1));
  if (base::find(*node, "terminationGracePeriodSeconds") != nullptr)
    out.grace = seconds("terminationGracePeriodSeconds", 30, 0);
  return out;
}

ContainerSpec read_container(const json::value& node) {
  ContainerSpec out;
  out.source = &node;
  out.name = base::get_string(node, "name");
  out.image = base::get_string(node, "image");
  out.pull_policy = base::get_string(node, "imagePullPolicy", "IfNotPresent");
  out.sidecar = base::get_string(node, "restartPolicy") == "Always";
  out.tty = base::get_bool(node, "tty");
  out.stdin_open = base::get_bool(node, "stdin");
  out.termination_message_path = base::get_string(node, "terminationMessagePath", "/dev/termination-log");
  out.message_from_log = base::get_string(node, "terminationMessagePolicy") == "FallbackToLogsOnError";
  out.liveness = read_probe(node, "livenessProbe");
  out.readiness = read_probe(node, "readinessProbe");
  out.startup = read_probe(node, "startupProbe");
  out.pre_stop = read_handler(node, base::find(node, "lifecycle.preStop"));
  out.post_start = read_handler(node, base::find(node, "lifecycle.postStart"));
  return out;
}

}  // namespace

std::vector<std::string> string_list(const json::value& object, std::string_view path) {
  std::vector<std::string> out;
  for (const json::value& item : base::get_array(object, path)) {
    if (item.is_string()) out.emplace_back(item.as_string());
  }
  return out;
}

PodSpec read_pod(client::ObjectPtr object) {
  PodSpec out;
  const json::value& pod = *object;
  out.ns = base::get_string(pod, "metadata.namespace");
  out.name = base::get_string(pod, "metadata.name");
  out.uid = base::get_string(pod, "metadata.uid");
  out.service_account = base::get_string(pod, "spec.serviceAccountName", "default");
  if (out.service_account.empty()) out.service_account = "default";
  const std::string policy = base::get_string(pod, "spec.restartPolicy", "Always");
  out.restart = policy == "Never"       ? RestartPolicy::kNever
                : policy == "OnFailure" ? RestartPolicy::kOnFailure
                                        : RestartPolicy::kAlways;
  out.grace = seconds_of(base::get_int(pod, "spec.terminationGracePeriodSeconds", 30));
  if (base::find(pod, "spec.activeDeadlineSeconds") != nullptr)
    out.active_deadline = seconds_of(base::get_int(pod, "spec.activeDeadlineSeconds"));
  out.host_network = base::get_bool(pod, "spec.hostNetwork");
  out.builds = base::annotation(pod, kBuildsAnnotation) == "true";
  out.build_cache = base::annotation(pod, kBuildCacheAnnotation);
  for (const json::value& container : base::get_array(pod, "spec.initContainers"))
    out.init.push_back(read_container(container));
  for (const json::value& container : base::get_array(pod, "spec.containers"))
    out.containers.push_back(read_container(container));
  out.object = std::move(object);
  return out;
}

}  // namespace mainstay::compute
