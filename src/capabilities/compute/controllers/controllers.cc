#include "capabilities/compute/controllers/controllers.h"

#include "capabilities/compute/controllers/deployment.h"
#include "capabilities/compute/controllers/endpointslice.h"
#include "capabilities/compute/controllers/replicaset.h"
#include "capabilities/compute/controllers/scheduler.h"
#include "capabilities/compute/controllers/service_addresses.h"

namespace mainstay::compute {

void register_workload_controllers(platform::Host& host) {
  ServiceAddresses::add_to(host);
  DeploymentController::add_to(host);
  ReplicaSetController::add_to(host);
  Scheduler::add_to(host);
  EndpointSliceController::add_to(host);
}

}  // namespace mainstay::compute
