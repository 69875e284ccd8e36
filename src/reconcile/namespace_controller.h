// Ends namespaces: deletes everything in a namespace that is being deleted, then lets it go.
#pragma once
#include "api/types.h"
#include "async/runtime.h"
#include "base/metrics.h"
#include "client/cache.h"

namespace mainstay::reconcile {

// In spec.finalizers of every namespace from its creation.
inline constexpr std::string_view kNamespaceFinalizer = "kubernetes";

void start_namespace_controller(async::TaskGroup& group, client::Caches& caches, const api::TypeRegistry& types,
                                client::ApiClient client, base::Metrics& metrics);

}  // namespace mainstay::reconcile
