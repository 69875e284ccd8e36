#include "capabilities/cloud/terraform/terraform.h"

#include "capabilities/cloud/terraform/backend.h"

namespace mainstay::embedded {
base::EmbeddedFiles terraform_files();
}

namespace mainstay::cloud {

void register_terraform(platform::Host& host) {
  host.add_files(embedded::terraform_files());
  add_state_backend(host);
}

}  // namespace mainstay::cloud
