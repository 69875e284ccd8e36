#pragma once
#include <memory>

#include "capabilities/observe/log_query.h"
#include "capabilities/observe/log_store.h"
#include "platform/host.h"

namespace mainstay::observe {

// Loki's HTTP API, as far as a log panel needs it: GET
// /loki/api/v1/{query_range,query,labels,label/{name}/values,series, tail (WebSocket),status/buildinfo}. What a caller
// sees follows from RBAC: get on logs and logs/audit (group mainstay.dev) in each namespace.
void add_loki_routes(platform::Host& host, std::shared_ptr<LogStore> store);

// A time as Loki's clients give it: RFC 3339, seconds with a fraction, or nanoseconds since 1970. Microseconds.
base::Result<std::int64_t> parse_loki_time(std::string_view text);
// A step: seconds, or a duration such as 30s. Microseconds.
base::Result<std::int64_t> parse_loki_step(std::string_view text);

}  // namespace mainstay::observe
