// What Kubernetes' controller manager brings and no capability owns: garbage collection by owner references, the end of
// namespaces, aggregated ClusterRoles and the expiry of Events. Also the default roles of RBAC.
#pragma once
#include "api/types.h"
#include "async/runtime.h"
#include "base/embedded.h"
#include "base/metrics.h"
#include "client/cache.h"
#include "client/client.h"

namespace mainstay::reconcile {

// bootstrap/*.yaml: ClusterRoles, bindings and namespaces that every cluster has.
base::EmbeddedFiles core_files();

// Spawns them in the group, which must not outlive caches, types and metrics. `client` needs all rights.
void start_core_controllers(async::TaskGroup& group, client::Caches& caches, const api::TypeRegistry& types,
                            client::ApiClient client, base::Metrics& metrics);

}  // namespace mainstay::reconcile
