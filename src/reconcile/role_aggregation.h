// Writes the rules of ClusterRoles with an aggregationRule: those of all the roles that its selectors name. The
// authorizer follows the selectors by itself; this is for people and clients who read the role.
#pragma once
#include <vector>

#include "async/runtime.h"
#include "base/metrics.h"
#include "client/cache.h"

namespace mainstay::reconcile {

// Each rule once, in the order of the roles' names. Pure.
boost::json::array aggregated_rules(const boost::json::value& role, const std::vector<client::ObjectPtr>& all);

void start_role_aggregation(async::TaskGroup& group, client::Caches& caches, client::ApiClient client,
                            base::Metrics& metrics);

}  // namespace mainstay::reconcile
