// Telling a person who pushes what follows from the push, provided by pipelines/ to source/.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "async/task.h"

namespace mainstay::platform {

struct PushedRef {
  std::string ref, after;  // "refs/heads/main", the commit it is at now; "" where it was deleted
};

class PushFollower {
 public:
  virtual ~PushFollower() = default;
  // A line for the terminal, without its newline. false: nobody reads any more.
  using Say = std::function<async::Task<bool>(std::string line)>;
  // Says what the platform does about the push as it happens; returns when there is nothing more to come.
  virtual async::Task<> follow(std::string ns, std::string repository, std::vector<PushedRef> refs, Say say) = 0;
};

}  // namespace mainstay::platform
