#include "capabilities/cloud/capability.h"

#include "capabilities/cloud/addresses/addresses.h"
#include "capabilities/cloud/buckets/buckets.h"
#include "capabilities/cloud/resources/resources.h"
#include "capabilities/cloud/terraform/terraform.h"
#include "capabilities/cloud/usage/usage.h"

namespace mainstay::cloud {

void register_cloud(platform::Host& host) {
  register_addresses(host);
  register_buckets(host);
  register_resources(host);
  register_terraform(host);
  register_usage(host);
}

}  // namespace mainstay::cloud
