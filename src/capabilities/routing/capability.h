// Ingress and traffic routing: serves Services of environments at <service>.<environment>.<team>.<domain> through
// HAProxy.
#pragma once
#include <sys/types.h>

#include <filesystem>
#include <vector>

#include "platform/host.h"

namespace mainstay::routing {

void register_routing(platform::Host& host);

// The HAProxy processes on this machine that serve some Mainstay's edge, by their command lines.
struct EdgeProcess {
  pid_t pid = 0;
  std::filesystem::path data_dir;
  bool orphaned = false;  // its data directory was deleted: nobody can adopt it, so the next start ends it
};
std::vector<EdgeProcess> edge_processes();

}  // namespace mainstay::routing
