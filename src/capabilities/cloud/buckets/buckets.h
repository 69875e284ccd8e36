#pragma once
#include "platform/host.h"

namespace mainstay::cloud {

void register_buckets(platform::Host& host);

}  // namespace mainstay::cloud
