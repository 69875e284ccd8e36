// Changing the master key, provided by the platform to secrets/.
#pragma once
#include <functional>

#include "async/task.h"
#include "base/result.h"

namespace mainstay::platform {

class MasterKey {
 public:
  virtual ~MasterKey() = default;
  // What seals values inside objects wraps them anew when it is called; gives how many. An error leaves the change
  // pending: it is tried again at the next start. From a register function.
  virtual void also(std::function<async::Task<base::Result<std::size_t>>()> rewrap) = 0;
  // A new master key, under which everything sealed in the object store is wrapped when this returns; gives how many
  // values. A crash in between leaves all readable, and the rest is done at the next start. The earlier keys stay in
  // the key file for what is kept elsewhere. kConflict: one is under way.
  virtual async::Task<base::Result<std::size_t>> rotate() = 0;
};

}  // namespace mainstay::platform
