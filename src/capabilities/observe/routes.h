#pragma once
#include <memory>

#include "capabilities/observe/log_store.h"
#include "platform/host.h"

namespace mainstay::observe {

// GET /apis/mainstay.dev/v1/namespaces/{namespace}/logs (search, follow) and GET /metrics.
void add_routes(platform::Host& host, std::shared_ptr<LogStore> store);

}  // namespace mainstay::observe
