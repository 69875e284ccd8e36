// The printer columns that a path cannot express (`compute:` in a type file), and times as kubectl prints them.
// Internal to api/.
#pragma once
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/json.h"

namespace mainstay::api {

using Printer = base::json::value (*)(const base::json::value& object, base::SystemTime now);
// nullptr where there is no function of that name.
Printer find_printer(std::string_view name);
// "5m12s", "3h", "2d4h": two units where the first is small.
std::string human_duration(std::chrono::nanoseconds duration);
// The age of an RFC 3339 time; "<unknown>" where it is missing or no time.
std::string age_of(std::string_view timestamp, base::SystemTime now);

}  // namespace mainstay::api
