#include "reconcile/core_controllers.h"

#include "reconcile/event_expiry.h"
#include "reconcile/garbage_collector.h"
#include "reconcile/namespace_controller.h"
#include "reconcile/role_aggregation.h"

namespace mainstay::embedded {
base::EmbeddedFiles reconcile_files();
}

namespace mainstay::reconcile {

base::EmbeddedFiles core_files() { return embedded::reconcile_files(); }

void start_core_controllers(async::TaskGroup& group, client::Caches& caches, const api::TypeRegistry& types,
                            client::ApiClient client, base::Metrics& metrics) {
  start_garbage_collector(group, caches, types, client, metrics);
  start_namespace_controller(group, caches, types, client, metrics);
  start_role_aggregation(group, caches, client, metrics);
  start_event_expiry(group, caches, types, client);
}

}  // namespace mainstay::reconcile
