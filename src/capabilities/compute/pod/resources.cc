#include "capabilities/compute/pod/resources.h"

#include <algorithm>

#include "base/quantity.h"

namespace mainstay::compute {
namespace {

std::optional<std::string> quantity_text(const json::value& container, std::string_view group, std::string_view name) {
  const json::value* found = base::find(container, {"resources", group, name});
  if (found == nullptr) return std::nullopt;
  if (found->is_string()) return std::string(found->as_string());
  if (found->is_number()) return base::to_json(*found);
  return std::nullopt;
}

std::optional<std::int64_t> read(const json::value& container, std::string_view group, std::string_view name) {
  const auto text = quantity_text(container, group, name);
  if (!text) return std::nullopt;
  const auto value = name == "cpu" ? base::parse_quantity_milli(*text) : base::parse_quantity(*text);
  return value ? std::optional(*value) : std::nullopt;
}

}  // namespace

ContainerResources read_resources(const json::value& container) {
  ContainerResources out;
  out.cpu_limit_milli = read(container, "limits", "cpu");
  out.memory_limit = read(container, "limits", "memory");
  out.cpu_request_milli = read(container, "requests", "cpu");
  out.memory_request = read(container, "requests", "memory");
  if (!out.cpu_request_milli) out.cpu_request_milli = out.cpu_limit_milli;
  if (!out.memory_request) out.memory_request = out.memory_limit;
  return out;
}

std::uint64_t cpu_shares(const ContainerResources& resources) {
  const std::int64_t shares = resources.cpu_request_milli.value_or(0) * 1024 / 1000;
  return static_cast<std::uint64_t>(std::clamp<std::int64_t>(shares, 2, 262144));
}

std::optional<std::int64_t> cpu_quota(const ContainerResources& resources) {
  if (!resources.cpu_limit_milli || *resources.cpu_limit_milli <= 0) return std::nullopt;
  return std::max<std::int64_t>(*resources.cpu_limit_milli * static_cast<std::int64_t>(kCpuPeriod) / 1000, 1000);
}

std::string qos_class(const json::value& pod) {
  bool any = false, guaranteed = true;
  const auto look = [&](const json::value& container) {
    const ContainerResources r = read_resources(container);
    any = any || r.cpu_request_milli.value_or(0) > 0 || r.memory_request.value_or(0) > 0;
    guaranteed = guaranteed && r.cpu_limit_milli && r.memory_limit && r.cpu_request_milli == r.cpu_limit_milli &&
                 r.memory_request == r.memory_limit;
  };
  for (const json::value& container : base::get_array(pod, "spec.containers")) look(container);
  for (const json::value& container : base::get_array(pod, "spec.initContainers")) look(container);
  if (!any) return "BestEffort";
  return guaranteed ? "Guaranteed" : "Burstable";
}

int oom_score_adj(std::string_view qos, const ContainerResources& resources, std::int64_t machine_memory, int least) {
  int score = 1000;
  if (qos == "Guaranteed") {
    score = -997;
  } else if (qos == "Burstable") {
    const double share = machine_memory > 0 ? static_cast<double>(resources.memory_request.value_or(0)) /
                                                  static_cast<double>(machine_memory)
                                            : 0;
    score = std::clamp(1000 - static_cast<int>(1000 * share), 3, 999);
  }
  return std::max(score, least);
}

std::optional<std::string> resource_field(const json::value& container, std::string_view resource,
                                          std::string_view divisor, std::int64_t node_cpu_milli,
                                          std::int64_t node_memory) {
  const ContainerResources r = read_resources(container);
  const bool cpu = resource.ends_with(".cpu");
  std::int64_t value = 0;  // milli for cpu, bytes for memory
  if (resource == "limits.cpu") {
    value = r.cpu_limit_milli.value_or(node_cpu_milli);
  } else if (resource == "requests.cpu") {
    value = r.cpu_request_milli.value_or(0);
  } else if (resource == "limits.memory") {
    value = r.memory_limit.value_or(node_memory);
  } else if (resource == "requests.memory") {
    value = r.memory_request.value_or(0);
  } else {
    return std::nullopt;
  }
  const std::string_view unit = divisor.empty() || divisor == "0" ? "1" : divisor;
  const auto by = cpu ? base::parse_quantity_milli(unit) : base::parse_quantity(unit);
  const std::int64_t divide = by && *by > 0 ? *by : (cpu ? 1000 : 1);
  return std::to_string((value + divide - 1) / divide);
}

}  // namespace mainstay::compute
