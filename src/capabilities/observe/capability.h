#pragma once
#include "platform/host.h"

namespace mainstay::observe {

void register_observe(platform::Host& host);

}  // namespace mainstay::observe
