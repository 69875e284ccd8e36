// The services of a pod's namespace as environment variables, from before there was DNS (enableServiceLinks, which is
// true unless a pod says otherwise). Pure.
#pragma once
#include <vector>

#include "capabilities/compute/pod/environment.h"

namespace mainstay::compute {

// WEB_SERVICE_HOST, WEB_SERVICE_PORT, WEB_SERVICE_PORT_<NAME>, and WEB_PORT and WEB_PORT_80_TCP… as container engines
// had them for links. Services without an address of their own give none.
Variables service_links(const std::vector<client::ObjectPtr>& services);

}  // namespace mainstay::compute
