// Dynamic compute: the node agent that runs pods on this machine, and the workload controllers that make them.
#pragma once
#include "base/config.h"
#include "platform/host.h"

namespace mainstay::compute {

void register_compute(platform::Host& host);

// Removes every container, mount, network namespace, link, firewall table and cgroup that the node agent of this data
// directory made. For `mainstay down`; works whether or not the program was stopped properly. Blocking, idempotent;
// problems are logged and do not stop it.
void compute_down(const base::Config& config);

}  // namespace mainstay::compute
