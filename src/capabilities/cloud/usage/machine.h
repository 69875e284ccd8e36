// What the machine as a whole uses, from the kernel.
#pragma once
#include <cstdint>
#include <filesystem>

namespace mainstay::cloud {

struct MachineUse {
  std::int64_t cpu_milli = 0;  // since the sample before; 0 at the first
  std::int64_t memory_bytes = 0;
  double busy_seconds = 0, uptime_seconds = 0;
};

// From PROC/stat, PROC/uptime and PROC/meminfo; what cannot be read stays 0. Blocking for a moment.
MachineUse read_machine(const std::filesystem::path& proc, const MachineUse& before);

}  // namespace mainstay::cloud
