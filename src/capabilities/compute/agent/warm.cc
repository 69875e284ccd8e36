#include "capabilities/compute/agent/warm.h"

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "capabilities/compute/fs.h"
#include "capabilities/compute/runtime/runtime.h"
#include "capabilities/compute/runtime/spawn.h"

namespace mainstay::compute {

void Warm::stop() {
  const std::lock_guard lock(mutex_);
  if (idle_ <= 0) return;
  ::kill(idle_, SIGKILL);
  ::waitpid(idle_, nullptr, 0);
  idle_ = 0;
  for (const std::string& dir : directory_) ::rmdir(dir.c_str());
}

bool Warm::prepare() {
  tried_ = true;
  const std::string root = unified_cgroups() ? "/sys/fs/cgroup" : "/sys/fs/cgroup/pids";
  for (int i = 0; i < 2; ++i) {
    directory_[i] = root + "/mainstay-warm-" + tag_ + (i == 0 ? "-a" : "-b");
    if (::mkdir(directory_[i].c_str(), 0755) != 0 && errno != EEXIST) return false;
  }
  const auto pid = spawn({program_, "--pause"});
  if (!pid) {
    base::log::warn("compute", "pods will start slower: {}", pid.error().message);
    return false;
  }
  idle_ = *pid;
  return true;
}

void Warm::kick() {
  const std::unique_lock lock(mutex_, std::try_to_lock);
  if (!lock) return;  // another start pays for it just now
  if (idle_ == 0 && (tried_ || !prepare())) return;
  flip_ = !flip_;
  put(directory_[flip_ ? 1 : 0] + "/cgroup.procs", std::to_string(idle_));
}

}  // namespace mainstay::compute
