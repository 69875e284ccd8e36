// This machine as a Node object.
#pragma once
#include <cstdint>
#include <set>
#include <string>

#include "base/clock.h"
#include "base/config.h"
#include "base/json.h"

namespace mainstay::compute {
namespace json = boost::json;

struct NodeResources {
  std::int64_t cpu_milli = 0, memory = 0, disk = 0, pods = 110;  // bytes
};
// From /proc, and from the cgroup this program runs in where that is smaller. Blocking but short.
NodeResources machine_resources();

json::value node_object(const base::Config& config);
// Conditions keep their lastTransitionTime from `before` (the Node object as it is).
json::value node_status(const base::Config& config, const NodeResources& resources, const std::string& engine,
                        const json::value& before, base::SystemTime now);

// Digests of the image layers that mounted container roots stand on.
std::set<std::string> mounted_layers(const base::Config& config);

}  // namespace mainstay::compute
