#include "capabilities/cloud/resources/resources.h"

namespace mainstay::cloud {

void register_resources(platform::Host&) {}

}  // namespace mainstay::cloud
