// POST terraformruns/{name}/{approve,discard}, and what may be asked for in Workspaces and TerraformRuns.
#pragma once
#include "platform/host.h"

namespace mainstay::cloud {

void add_terraform_verbs(platform::Host& host);

}  // namespace mainstay::cloud
