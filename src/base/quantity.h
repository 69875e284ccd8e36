// Kubernetes quantities: "500m", "1.5Gi", "2e3".
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace mainstay::base {

Result<std::int64_t> parse_quantity_milli(std::string_view text);  // thousandths, rounded up: CPU as millicores
Result<std::int64_t> parse_quantity(std::string_view text);        // whole units, rounded up: bytes
std::string format_bytes(std::int64_t bytes);                      // "64Mi"
// Upwards to a sixteenth of its size, and to whole steps: a measured figure that objects show need not change each
// time.
std::int64_t coarse(std::int64_t value, std::int64_t step);

}  // namespace mainstay::base
