#pragma once
#include <memory>

#include "capabilities/observe/log_store.h"
#include "platform/host.h"

namespace mainstay::observe {

// Loki's HTTP API, as far as Grafana's Loki data source, its log panels and logcli need it, below /loki/api/v1/. What a
// caller sees follows from RBAC: get on logs and logs/audit (group mainstay.dev) in each namespace.
void add_loki_routes(platform::Host& host, std::shared_ptr<LogStore> store);

}  // namespace mainstay::observe
