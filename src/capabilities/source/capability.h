// Source control: git repositories as objects, served over smart HTTP.
#pragma once
#include "platform/host.h"

namespace mainstay::source {

void register_source(platform::Host& host);

}  // namespace mainstay::source
