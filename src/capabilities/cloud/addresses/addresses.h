#pragma once
#include "platform/host.h"

namespace mainstay::cloud {

void register_addresses(platform::Host& host);

}  // namespace mainstay::cloud
