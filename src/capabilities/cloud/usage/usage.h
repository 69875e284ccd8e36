#pragma once
#include "platform/host.h"

namespace mainstay::cloud {

void register_usage(platform::Host& host);

}  // namespace mainstay::cloud
