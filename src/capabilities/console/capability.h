// The web console: what web/ builds, served at /console/, and the one connection its live views come over.
#pragma once
#include "platform/host.h"

namespace mainstay::console {

void register_console(platform::Host& host);

}  // namespace mainstay::console
