// What is prepared in a pod's network before its containers start, provided by routing/ (the mesh) to compute/.
#pragma once
#include <string>

#include "async/task.h"
#include "base/result.h"

namespace mainstay::platform {

struct Sandbox {
  std::string ns, pod, uid, service_account;
  std::string ip, network_namespace;  // "/run/netns/…"
};
class SandboxNetwork {
 public:
  virtual ~SandboxNetwork() = default;
  // Called once a pod has its network, and again for each pod that a restart takes up. The containers start after it
  // resumes; an error keeps them from starting, and is asked again.
  virtual async::Task<base::Result<>> admit(Sandbox sandbox) = 0;
  virtual void leave(std::string uid) = 0;  // the pod's network is about to go
};

}  // namespace mainstay::platform
