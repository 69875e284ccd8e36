#include "capabilities/cloud/terraform/terraform.h"

namespace mainstay::cloud {

void register_terraform(platform::Host&) {}

}  // namespace mainstay::cloud
