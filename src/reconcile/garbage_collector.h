// Deletes what its owners have left behind (metadata.ownerReferences), and carries out foreground and orphaning
// deletion.
#pragma once
#include <memory>

#include "api/types.h"
#include "async/runtime.h"
#include "base/metrics.h"
#include "client/cache.h"

namespace mainstay::reconcile {

// Watches every stored type but Events (which have no owners) through the shared caches. Lives in the group.
void start_garbage_collector(async::TaskGroup& group, client::Caches& caches, const api::TypeRegistry& types,
                             client::ApiClient client, base::Metrics& metrics);

}  // namespace mainstay::reconcile
