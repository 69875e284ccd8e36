// What must be true before a start is worth trying: each finding names the cause and the mend.
#pragma once
#include <string>
#include <vector>

#include "base/config.h"

namespace mainstay::daemon {

struct Finding {
  bool fatal = true;
  std::string what;  // "port 127.0.0.1:8443 (--https) is held by nginx (pid 812)"
  std::string mend;  // "stop it, or choose another with --https"
};
// Checks ports, privileges, cgroups, disk, programs. Blocking, under 100 ms, changes nothing.
std::vector<Finding> preflight(const base::Config& config);

}  // namespace mainstay::daemon
