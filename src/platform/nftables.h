// The kernel's firewall, by nft(8): one transaction of rules at a time.
#pragma once
#include <string>

#include "async/task.h"
#include "base/result.h"

namespace mainstay::platform {

// Loads rules as nft -f takes them, in the network namespace at that path ("" is ours). kUnavailable names `what` was
// refused and nft's reason, kNotFound that the namespace is gone.
async::Task<base::Result<>> load_nft_rules(std::string rules, std::string what, std::string network_namespace = "");

}  // namespace mainstay::platform
