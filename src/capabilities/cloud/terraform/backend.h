// The HTTP state backend: GET, POST, DELETE, LOCK and UNLOCK of /terraform/state/<namespace>/<workspace>. A version of
// the state is an object of its own, sealed; the workspace's status names the one in force. So a state is in force at
// the instant one object changes, and a crash leaves at most a version that nothing names.
#pragma once
#include "platform/host.h"

namespace mainstay::cloud {

void add_state_backend(platform::Host& host);

}  // namespace mainstay::cloud
