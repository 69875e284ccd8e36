// The name server of pods, provided by routing/ to compute/.
#pragma once
#include <string>

namespace mainstay::platform {

class PodDns {
 public:
  virtual ~PodDns() = default;
  // Its address as pods reach it; "" where it does not serve, and pods do with the machine's resolvers.
  virtual std::string nameserver() const = 0;
};

}  // namespace mainstay::platform
