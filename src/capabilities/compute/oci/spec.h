// The OCI runtime configuration (config.json) of one container. Pure.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "capabilities/compute/image/image_config.h"
#include "capabilities/compute/pod/resources.h"

namespace mainstay::compute {
namespace json = boost::json;

struct Mount {
  std::string destination, type, source;
  std::vector<std::string> options;
};

// securityContext of pod and container taken together; the container's word counts.
struct Security {
  std::optional<std::int64_t> run_as_user, run_as_group, fs_group;
  std::vector<std::uint32_t> supplemental_groups;
  bool run_as_non_root = false, read_only_root = false, privileged = false, allow_escalation = true, unconfined = false;
  std::vector<std::string> add, drop;  // capabilities without CAP_
  std::map<std::string, std::string> sysctls;
};
Security read_security(const json::value& pod, const json::value& container);

struct SpecInput {
  std::vector<std::string> args;
  std::map<std::string, std::string> env;
  std::string cwd = "/";
  ProcessUser user;
  Security security;
  std::string rootfs, hostname, cgroup_path;
  std::string netns;  // path; "" shares the host's network
  bool host_pid = false, host_ipc = false;
  std::vector<Mount> mounts;  // beside the standard ones, in any order
  ContainerResources resources;
  int oom_score_adj = 0;
  bool terminal = false;
  bool builds = false;  // user namespace and capabilities for buildah
  std::int64_t shm_bytes = 64 << 20;
};

// The first host id and the number of ids that the root of a user namespace maps to.
inline constexpr std::uint32_t kUserNamespaceBase = 100'000, kUserNamespaceSize = 65'536;
inline constexpr std::int64_t kPidsLimit = 4096;

// `available` are the capabilities of this process' bounding set ("CAP_CHOWN"…): no others are asked for.
json::object oci_config(const SpecInput& input, const std::set<std::string>& available);
// The process part alone, for exec in a container.
json::object oci_process(const SpecInput& input, const std::set<std::string>& available);

// From the hexadecimal CapBnd of /proc/self/status.
std::set<std::string> capability_names(std::uint64_t mask);
std::set<std::string> bounding_capabilities();

}  // namespace mainstay::compute
