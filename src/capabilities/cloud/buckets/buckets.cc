#include "capabilities/cloud/buckets/buckets.h"

namespace mainstay::cloud {

void register_buckets(platform::Host&) {}

}  // namespace mainstay::cloud
