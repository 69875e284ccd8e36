#include "capabilities/cloud/usage/usage.h"

namespace mainstay::cloud {

void register_usage(platform::Host&) {}

}  // namespace mainstay::cloud
