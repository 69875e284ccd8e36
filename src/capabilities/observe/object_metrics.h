// The state of objects as metrics, under kube-state-metrics' names; Mainstay's own kinds under mainstay_…. Pure, but
// for the caches it reads.
#pragma once
#include <memory>
#include <string>

#include "client/cache.h"

namespace mainstay::observe {

struct ObjectCaches {
  std::shared_ptr<client::Cache> namespaces, nodes, pods, deployments, runs, capabilities;
  std::shared_ptr<client::Cache> address_pools, claims;  // null where the type is not there
};
std::string object_metrics(const ObjectCaches& caches);

}  // namespace mainstay::observe
