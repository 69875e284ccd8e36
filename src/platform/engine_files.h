// What an engine keeps outside of itself: pid file, log, memory cgroup. Blocking, each for a moment.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"

namespace mainstay::platform {

class EngineFiles {
 public:
  EngineFiles(const std::filesystem::path& data_dir, std::string name);
  base::Result<> prepare() const;  // makes the folder
  std::filesystem::path log() const { return folder_ / (name_ + ".log"); }
  std::filesystem::path pid_file() const { return folder_ / (name_ + ".pid"); }
  base::Result<> write_pid(pid_t pid, const std::vector<std::string>& argv) const;
  pid_t read_pid() const;  // 0 where the process it names is gone
  // Remembers where the log ends now, and empties it once it is over a megabyte.
  void note_log_size();
  std::uintmax_t said_before_start = 0;
  // The cgroup to join for this limit, made where it can be; empty where it cannot, or for no limit.
  std::filesystem::path memory_cgroup(std::uint64_t limit_bytes) const;

 private:
  std::filesystem::path folder_;
  std::string name_;
  std::string cgroup_;
};

// Clock ticks after boot when the process was started (field 22 of /proc/<pid>/stat); 0 where it is gone or a zombie.
std::uint64_t process_start_ticks(pid_t pid);

}  // namespace mainstay::platform
