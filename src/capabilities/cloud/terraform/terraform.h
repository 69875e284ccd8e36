#pragma once
#include "platform/host.h"

namespace mainstay::cloud {

void register_terraform(platform::Host& host);

}  // namespace mainstay::cloud
