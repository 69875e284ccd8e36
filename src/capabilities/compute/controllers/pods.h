// Reading Pod objects as the workload controllers need them. Pure.
#pragma once
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/json.h"

namespace mainstay::compute {
namespace json = boost::json;

bool pod_finished(const json::value& pod);  // phase Succeeded or Failed
bool being_deleted(const json::value& object);
bool pod_active(const json::value& pod);  // neither finished nor being deleted: counts as a replica
bool pod_ready(const json::value& pod);
// When the pod has been ready for min_ready_seconds, which may be in the future; nullopt while it is not ready.
std::optional<base::SystemTime> pod_available_at(const json::value& pod, std::int64_t min_ready_seconds);

// Strict weak order: the pod that costs least to lose comes first. Unscheduled before scheduled, pending before
// running, unready before ready, lower controller.kubernetes.io/pod-deletion-cost first, younger before older.
bool dies_before(const json::value& a, const json::value& b);

// What scheduling counts, of requests; init containers run one at a time, so the largest of them counts.
struct Resources {
  std::int64_t cpu_milli = 0, memory_bytes = 0;
};
Resources pod_requests(const json::value& pod);
// The same of any resource, in whole units, and which ones beside CPU and memory the pod requests.
std::int64_t pod_request(const json::value& pod, std::string_view resource);
std::set<std::string> further_requests(const json::value& pod);
// Sums of requests stay at the largest number there is: what nobody has does not wrap to what fits.
std::int64_t add_requests(std::int64_t a, std::int64_t b);

// A Pod made from `spec.template` of its owner, controlled by it. The name comes from the server: <owner>-<suffix>.
json::value pod_from_template(const json::value& owner, const json::value& pod_template);

// metadata.creationTimestamp; the epoch where missing.
base::SystemTime created_at(const json::value& object);

}  // namespace mainstay::compute
