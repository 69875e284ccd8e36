// A Pod object as the node agent works with it, read once. Pure.
#pragma once
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "client/cache.h"

namespace mainstay::compute {
namespace json = boost::json;

enum class RestartPolicy { kAlways, kOnFailure, kNever };

// What a probe or a lifecycle hook does.
struct Handler {
  enum class Kind { kExec, kHttp, kTcp, kSleep, kGrpc } kind = Kind::kExec;
  std::vector<std::string> command;
  std::string scheme = "http", host, path = "/";  // host "": the pod's address
  std::vector<std::pair<std::string, std::string>> headers;
  std::uint16_t port = 0;  // 0: a name that no port of the container has
  std::chrono::seconds sleep{0};
};

struct ProbeSpec {
  Handler handler;
  std::chrono::milliseconds initial_delay{0}, period{10'000}, timeout{1'000};
  int success_threshold = 1, failure_threshold = 3;
  std::optional<std::chrono::seconds> grace;  // terminationGracePeriodSeconds of this probe
};

struct ContainerSpec {
  std::string name, image, pull_policy;
  bool sidecar = false;  // an init container with restartPolicy: Always
  bool tty = false, stdin_open = false;
  std::string termination_message_path = "/dev/termination-log";
  bool message_from_log = false;        // terminationMessagePolicy: FallbackToLogsOnError
  const json::value* source = nullptr;  // within PodSpec::object
  std::optional<ProbeSpec> liveness, readiness, startup;
  std::optional<Handler> pre_stop, post_start;
};

struct PodSpec {
  client::ObjectPtr object;
  std::string ns, name, uid, service_account = "default";
  RestartPolicy restart = RestartPolicy::kAlways;
  std::chrono::seconds grace{30};
  std::optional<std::chrono::seconds> active_deadline;
  bool host_network = false;
  bool builds = false;      // runs in a user namespace with what buildah needs
  std::string build_cache;  // the repository whose cache is mounted; "" for none
  std::vector<ContainerSpec> init, containers;
};

inline constexpr std::string_view kBuildsAnnotation = "mainstay.dev/builds";
inline constexpr std::string_view kBuildCacheAnnotation = "mainstay.dev/build-cache";
inline constexpr std::string_view kRunnerImage = "mainstay.dev/runner";

// Never fails: the API validated the object, and what is absent has Kubernetes' defaults.
PodSpec read_pod(client::ObjectPtr object);
std::vector<std::string> string_list(const json::value& object, std::string_view path);

}  // namespace mainstay::compute
