#include "daemon/capabilities.h"

#include "capabilities/artifacts/capability.h"
#include "capabilities/cloud/capability.h"
#include "capabilities/compute/capability.h"
#include "capabilities/console/capability.h"
#include "capabilities/identity/capability.h"
#include "capabilities/observe/capability.h"
#include "capabilities/pipelines/capability.h"
#include "capabilities/provenance/capability.h"
#include "capabilities/routing/capability.h"
#include "capabilities/secrets/capability.h"
#include "capabilities/source/capability.h"

namespace mainstay::daemon {

std::vector<void (*)(platform::Host&)> capabilities() {
  return {
      identity::register_identity,   source::register_source,         secrets::register_secrets,
      artifacts::register_artifacts, provenance::register_provenance, observe::register_observe,
      routing::register_routing,     cloud::register_cloud,           compute::register_compute,
      pipelines::register_pipelines, console::register_console,
  };
}

}  // namespace mainstay::daemon
