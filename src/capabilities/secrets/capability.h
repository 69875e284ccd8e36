#pragma once
#include "platform/host.h"

namespace mainstay::secrets {

void register_secrets(platform::Host& host);

}  // namespace mainstay::secrets
