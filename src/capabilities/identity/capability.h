#pragma once
#include "platform/host.h"

namespace mainstay::identity {

void register_identity(platform::Host& host);

}  // namespace mainstay::identity
