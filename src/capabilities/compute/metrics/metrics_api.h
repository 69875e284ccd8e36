// The API group metrics.k8s.io, for `kubectl top`.
#pragma once
#include <memory>

#include "capabilities/compute/agent/agent.h"

namespace mainstay::compute {

void add_metrics_api(platform::Host& host, std::shared_ptr<Agent> agent);

}  // namespace mainstay::compute
