// The workload controllers: Deployment, ReplicaSet, EndpointSlice, the scheduler, and service addresses at admission.
#pragma once
#include "platform/host.h"

namespace mainstay::compute {

// Registers all of them. They meet the node agent through objects alone: it runs pods whose spec.nodeName is its
// node's.
void register_workload_controllers(platform::Host& host);

}  // namespace mainstay::compute
