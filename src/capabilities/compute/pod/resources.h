// What a container asks for and may use, in the kernel's terms. Pure.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"

namespace mainstay::compute {
namespace json = boost::json;

struct ContainerResources {
  std::optional<std::int64_t> cpu_request_milli, cpu_limit_milli;
  std::optional<std::int64_t> memory_request, memory_limit;  // bytes
};
// Requests default to limits, as Kubernetes has it. A quantity that does not parse counts as absent (admission checked
// it).
ContainerResources read_resources(const json::value& container);

// cgroup v1 cpu.shares (crun converts it for v2): 1024 a core, at least 2.
std::uint64_t cpu_shares(const ContainerResources& resources);
// Microseconds of CPU in each kCpuPeriod; nullopt: no limit.
inline constexpr std::uint64_t kCpuPeriod = 100'000;
std::optional<std::int64_t> cpu_quota(const ContainerResources& resources);

// "Guaranteed", "Burstable" or "BestEffort".
std::string qos_class(const json::value& pod);
// oom_score_adj by QoS and share of the machine's memory, never below `least` (this process's own: it may not go
// under).
int oom_score_adj(std::string_view qos, const ContainerResources& resources, std::int64_t machine_memory, int least);

// A resourceFieldRef's value in units of its divisor, rounded up ("limits.memory" with "1Mi" of 64Mi is "64"); limits
// that are not set are the node's. nullopt: no such resource.
std::optional<std::string> resource_field(const json::value& container, std::string_view resource,
                                          std::string_view divisor, std::int64_t node_cpu_milli,
                                          std::int64_t node_memory);

}  // namespace mainstay::compute
