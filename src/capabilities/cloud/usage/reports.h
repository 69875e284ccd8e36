// Writes UsageReport objects (one a team) and the CapacityReport from what caches know.
#pragma once
#include "platform/host.h"

namespace mainstay::cloud {

void add_reports(platform::Host& host);

}  // namespace mainstay::cloud
