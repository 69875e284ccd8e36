#pragma once
#include "platform/host.h"

namespace mainstay::console {

void register_console(platform::Host& host);

}  // namespace mainstay::console
