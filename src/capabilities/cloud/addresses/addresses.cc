#include "capabilities/cloud/addresses/addresses.h"

namespace mainstay::cloud {

void register_addresses(platform::Host&) {}

}  // namespace mainstay::cloud
