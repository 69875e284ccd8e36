// A Deployment's status: counts and the conditions that `kubectl rollout status` reads. Pure.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/json.h"
#include "client/cache.h"

namespace mainstay::compute {
namespace json = boost::json;

struct DeploymentCounts {
  std::int64_t replicas = 0, updated = 0, ready = 0, available = 0, unavailable = 0;
};
// `newest` may be null.
DeploymentCounts count_deployment(const std::vector<client::ObjectPtr>& sets, const client::ObjectPtr& newest,
                                  std::int64_t wanted);
bool rollout_complete(const DeploymentCounts& counts, std::int64_t wanted);

// Conditions as apps/v1 has them: with lastUpdateTime, which changes with the reason too.
void set_deployment_condition(json::value& deployment, std::string_view type, std::string_view status,
                              std::string_view reason, std::string_view message, base::SystemTime now);
void remove_condition(json::value& object, std::string_view type);

// Writes counts, observedGeneration, Available, Progressing and ReplicaFailure. `deployment` holds the status of the
// pass before. Gives when progressDeadlineSeconds runs out where that is still ahead.
std::optional<base::SystemTime> write_deployment_status(json::value& deployment,
                                                        const std::vector<client::ObjectPtr>& sets,
                                                        const client::ObjectPtr& newest, std::int64_t max_unavailable,
                                                        base::SystemTime now);

}  // namespace mainstay::compute
