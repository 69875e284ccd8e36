// The artifact store: an OCI registry at /v2/.
#pragma once
#include "platform/host.h"

namespace mainstay::artifacts {

void register_artifacts(platform::Host& host);

}  // namespace mainstay::artifacts
