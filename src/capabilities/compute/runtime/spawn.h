// Child processes of the pool threads: short runtime calls that are waited for where they are made.
#pragma once
#include <chrono>
#include <string>
#include <vector>

#include "base/result.h"

namespace mainstay::compute {

struct SpawnResult {
  int code = -1;       // 128 + signal where a signal ended it
  std::string output;  // stderr and stdout, at most 64 KiB
};
// Runs argv[0] (a path) to its end; killed at `limit` (kTimeout). `environment` is the whole one.
base::Result<SpawnResult> spawn_and_wait(const std::vector<std::string>& argv, std::chrono::milliseconds limit,
                                         const std::vector<std::string>& environment = {});
// Runs argv with the write end of a pipe as descriptor 3 and reads from the other end up to the first newline or its
// end: conmon's start-up protocol. The process itself must end soon after (it forks).
base::Result<std::string> spawn_and_read_line(const std::vector<std::string>& argv, std::chrono::milliseconds limit,
                                              const std::vector<std::string>& environment);
// Starts argv and leaves it running. The caller waits for it.
base::Result<int> spawn(const std::vector<std::string>& argv);

}  // namespace mainstay::compute
