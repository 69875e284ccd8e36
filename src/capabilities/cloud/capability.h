#pragma once
#include "platform/host.h"

namespace mainstay::cloud {

void register_cloud(platform::Host& host);

}  // namespace mainstay::cloud
