// Keeps the Capability objects that `mainstay status` lists in step with what the program knows of itself.
#pragma once
#include <vector>

#include "base/clock.h"
#include "client/client.h"
#include "platform/host.h"

namespace mainstay::platform {

// Every one of the mission's seven, whether somebody registered it or not: an absent one says what is lost without it.
// Asks each health function every 10 s and writes what changed. Runs until cancelled.
async::Task<> report_capabilities(client::ApiClient client, std::vector<CapabilityInfo> registered, base::Clock& clock);

}  // namespace mainstay::platform
