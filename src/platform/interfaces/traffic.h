// Taking an endpoint out of traffic before it is stopped, provided by routing/ to compute/.
#pragma once
#include <chrono>
#include <string>

#include "async/task.h"

namespace mainstay::platform {

class TrafficDrain {
 public:
  virtual ~TrafficDrain() = default;
  // Resumes when the edge sends nothing new to this pod address and what was under way has ended, or after `limit`.
  virtual async::Task<> drain(std::string pod_ip, std::chrono::milliseconds limit) = 0;
};

}  // namespace mainstay::platform
