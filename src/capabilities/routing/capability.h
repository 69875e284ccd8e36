// Ingress and traffic routing: serves Services of environments at <service>.<environment>.<team>.<domain> through
// HAProxy.
#pragma once
#include "platform/host.h"

namespace mainstay::routing {

void register_routing(platform::Host& host);

}  // namespace mainstay::routing
