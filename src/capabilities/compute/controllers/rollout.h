// The arithmetic of a Deployment's rollout: how many replicas each ReplicaSet should have. Pure.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/json.h"
#include "base/result.h"

namespace mainstay::compute {
namespace json = boost::json;

struct RolloutLimits {
  std::int64_t surge = 0, unavailable = 0;  // pods above, and missing from, spec.replicas
};
// maxSurge and maxUnavailable of a RollingUpdate, percentages of `replicas` resolved: surge rounds up, unavailable
// down; where both come to 0 one pod may be missing, else nothing could ever move. Recreate: {0, replicas}.
base::Result<RolloutLimits> rollout_limits(const json::value& deployment);

struct SetReplicas {
  std::string name;
  std::int64_t replicas = 0;       // spec.replicas: read and written
  std::int64_t available = 0;      // status.availableReplicas
  std::int64_t noted_maximum = 0;  // annotation deployment.kubernetes.io/max-replicas; 0 where missing
  base::SystemTime created;
  bool is_new = false;  // holds the Deployment's present template
};

// One step of a rolling update: the new set up as far as surge allows, old ones down as far as availability allows,
// replicas that are not available first.
void roll(std::int64_t wanted, const RolloutLimits& limits, std::vector<SetReplicas>& sets);

// spec.replicas changed: the one active set takes it, a finished rollout empties the old sets, and one under way is
// spread over the sets in their present proportion (the remainder to the largest).
void rescale(std::int64_t wanted, const RolloutLimits& limits, bool rolling, std::vector<SetReplicas>& sets);

// A name-safe hash of a pod template, independent of the order of keys; `collisions` is status.collisionCount.
std::string template_hash(const json::value& pod_template, std::int64_t collisions);

// Whether two templates are the same but for the pod-template-hash label.
bool same_template(const json::value& a, const json::value& b);

}  // namespace mainstay::compute
