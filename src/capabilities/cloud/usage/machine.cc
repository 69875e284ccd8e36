#include "capabilities/cloud/usage/machine.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <string>

namespace mainstay::cloud {

MachineUse read_machine(const std::filesystem::path& proc, const MachineUse& before) {
  MachineUse out;
  std::ifstream(proc / "uptime") >> out.uptime_seconds;
  std::ifstream stat(proc / "stat");
  std::string name;
  // proc(5): user nice system idle iowait irq softirq steal, of all processors together.
  double ticks[8] = {};
  stat >> name;
  for (double& value : ticks) stat >> value;
  const double busy = ticks[0] + ticks[1] + ticks[2] + ticks[5] + ticks[6];
  out.busy_seconds = busy / static_cast<double>(::sysconf(_SC_CLK_TCK));
  const double passed = out.uptime_seconds - before.uptime_seconds;
  if (before.uptime_seconds > 0 && passed > 0)
    out.cpu_milli = static_cast<std::int64_t>(std::max(0.0, out.busy_seconds - before.busy_seconds) / passed * 1000);
  std::int64_t total = 0, available = 0, value = 0;
  std::ifstream memory(proc / "meminfo");
  for (std::string line; memory >> name >> value && std::getline(memory, line);) {
    if (name == "MemTotal:") total = value;
    if (name == "MemAvailable:") available = value;
  }
  out.memory_bytes = std::max<std::int64_t>(total - available, 0) * 1024;
  return out;
}

}  // namespace mainstay::cloud
