// Build caches go with their repositories.
#pragma once
#include "platform/host.h"

namespace mainstay::pipelines {

// From now on: DIR/cache/<team>/<repository> is removed when the Repository is.
void forget_build_caches(platform::Host& host);

}  // namespace mainstay::pipelines
