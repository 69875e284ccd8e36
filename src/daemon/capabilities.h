#pragma once
#include <vector>

#include "platform/host.h"

namespace mainstay::daemon {

// The one list of capabilities, in the order in which they register and start.
std::vector<void (*)(platform::Host&)> capabilities();

}  // namespace mainstay::daemon
