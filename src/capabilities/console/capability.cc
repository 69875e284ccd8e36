#include "capabilities/console/capability.h"

namespace mainstay::console {

void register_console(platform::Host&) {}

}  // namespace mainstay::console
