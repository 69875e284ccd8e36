// One rule of an HTTPRoute, read: matches, filters, timeouts. Pure. What cannot be served is an error that names the
// field: nothing of a rule is left out in silence.
#pragma once
#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"
#include "capabilities/routing/gateway/rules.h"

namespace mainstay::routing {
namespace json = boost::json;

Match read_match(const json::value& match);

struct RuleFault {
  std::string reason;  // UnsupportedValue, IncompatibleFilters
  std::string message;
};
// Filters and timeouts into `rule`.
std::optional<RuleFault> read_rule(const json::value& spec, Rule& rule);

// "1m30s" (GEP-2257): hours, minutes, seconds, milliseconds.
std::optional<std::chrono::milliseconds> read_duration(std::string_view text);

// The HTTPRoute that says the same as a GRPCRoute: a service is the first part of a path, a method the second.
json::value http_route_of(const json::value& grpc_route);

}  // namespace mainstay::routing
