// CI and CD: workflow runs, their jobs, builds and deployments.
#pragma once
#include "platform/host.h"

namespace mainstay::pipelines {

void register_pipelines(platform::Host& host);

}  // namespace mainstay::pipelines
