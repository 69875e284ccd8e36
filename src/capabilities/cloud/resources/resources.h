#pragma once
#include "platform/host.h"

namespace mainstay::cloud {

void register_resources(platform::Host& host);

}  // namespace mainstay::cloud
