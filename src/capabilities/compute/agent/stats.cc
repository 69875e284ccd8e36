#include "capabilities/compute/agent/stats.h"

#include <charconv>

#include "base/strings.h"
#include "capabilities/compute/fs.h"

namespace mainstay::compute {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t kMaxFile = 16 * 1024;
// A limit above this is the kernel's way to say "none".
constexpr std::uint64_t kNoLimit = 1ull << 60;

std::uint64_t number(std::string_view text) {
  text = base::trim(text);
  std::uint64_t n = 0;
  std::from_chars(text.data(), text.data() + text.size(), n);
  return n;
}

std::uint64_t number_in(const fs::path& file) { return number(slurp(file, 64)); }

// The value of "<key> <number>" in a flat keyed file.
std::uint64_t keyed(std::string_view text, std::string_view key) {
  for (const std::string_view line : base::split(text, '\n')) {
    if (line.size() > key.size() && line.starts_with(key) && line[key.size()] == ' ')
      return number(line.substr(key.size() + 1));
  }
  return 0;
}

void read_unified(const fs::path& folder, platform::ContainerStats& out) {
  const std::string cpu = slurp(folder / "cpu.stat", kMaxFile), memory = slurp(folder / "memory.stat", kMaxFile);
  out.cpu_seconds = static_cast<double>(keyed(cpu, "usage_usec")) / 1e6;
  out.periods = keyed(cpu, "nr_periods");
  out.throttled = keyed(cpu, "nr_throttled");
  out.throttled_seconds = static_cast<double>(keyed(cpu, "throttled_usec")) / 1e6;
  out.memory_usage = number_in(folder / "memory.current");
  out.memory_rss = keyed(memory, "anon");
  const std::uint64_t inactive = keyed(memory, "inactive_file");
  out.memory_working_set = out.memory_usage > inactive ? out.memory_usage - inactive : 0;
  out.memory_limit = number_in(folder / "memory.max");  // "max" reads as 0
}

void read_version_1(const fs::path& root, const std::string& cgroup, platform::ContainerStats& out) {
  out.cpu_seconds = static_cast<double>(number_in(root / ("cpuacct" + cgroup) / "cpuacct.usage")) / 1e9;
  const std::string cpu = slurp(root / ("cpu" + cgroup) / "cpu.stat", kMaxFile);
  out.periods = keyed(cpu, "nr_periods");
  out.throttled = keyed(cpu, "nr_throttled");
  out.throttled_seconds = static_cast<double>(keyed(cpu, "throttled_time")) / 1e9;
  const fs::path folder = root / ("memory" + cgroup);
  const std::string memory = slurp(folder / "memory.stat", kMaxFile);
  out.memory_usage = number_in(folder / "memory.usage_in_bytes");
  out.memory_rss = keyed(memory, "total_rss");
  const std::uint64_t inactive = keyed(memory, "total_inactive_file");
  out.memory_working_set = out.memory_usage > inactive ? out.memory_usage - inactive : 0;
  out.memory_limit = number_in(folder / "memory.limit_in_bytes");
}

}  // namespace

void read_container(const StatsPaths& paths, const std::string& cgroup, platform::ContainerStats& out) {
  const fs::path root = paths.sys / "fs/cgroup";
  if (paths.unified) {
    read_unified(fs::path(root.string() + cgroup), out);
  } else {
    read_version_1(root, cgroup, out);
  }
  if (out.memory_limit >= kNoLimit) out.memory_limit = 0;
}

void read_link(const StatsPaths& paths, const std::string& link, platform::PodStats& out) {
  const fs::path folder = paths.sys / "class/net" / link / "statistics";
  out.received_bytes = number_in(folder / "tx_bytes");
  out.received_packets = number_in(folder / "tx_packets");
  out.received_errors = number_in(folder / "tx_errors");
  out.received_dropped = number_in(folder / "tx_dropped");
  out.sent_bytes = number_in(folder / "rx_bytes");
  out.sent_packets = number_in(folder / "rx_packets");
  out.sent_errors = number_in(folder / "rx_errors");
  out.sent_dropped = number_in(folder / "rx_dropped");
}

async::Task<std::vector<platform::PodStats>> AgentStats::pods() {
  struct Plan {
    platform::PodStats pod;
    std::string link;
    std::vector<std::string> cgroups;  // of pod.containers
  };
  NodeContext* node = agent_->node();
  if (!node) co_return std::vector<platform::PodStats>{};
  auto plans = std::make_shared<std::vector<Plan>>();
  for (const auto& worker : agent_->workers()) {
    const PodSpec& spec = worker->spec();
    Plan plan;
    plan.pod.ns = spec.ns;
    plan.pod.name = spec.name;
    plan.pod.uid = spec.uid;
    plan.link = worker->net().name;
    const auto add = [&](const ContainerSpec& container, const ContainerState& state) {
      if (!state.running()) return;
      platform::ContainerStats stats;
      stats.name = container.name;
      stats.id = state.id;
      stats.image = container.image;
      stats.started = std::chrono::duration_cast<std::chrono::seconds>(state.started_at.time_since_epoch()).count();
      plan.pod.containers.push_back(std::move(stats));
      plan.cgroups.push_back(node->cgroup(spec.uid, state.id));
    };
    for (std::size_t i = 0; i < spec.init.size(); ++i) add(spec.init[i], worker->state().init[i]);
    for (std::size_t i = 0; i < spec.containers.size(); ++i) add(spec.containers[i], worker->state().main[i]);
    if (!plan.pod.containers.empty()) plans->push_back(std::move(plan));
  }
  const std::function<std::vector<platform::PodStats>()> read = [plans] {
    StatsPaths paths;
    paths.unified = unified_cgroups();
    std::vector<platform::PodStats> out;
    for (Plan& plan : *plans) {
      for (std::size_t i = 0; i < plan.cgroups.size(); ++i)
        read_container(paths, plan.cgroups[i], plan.pod.containers[i]);
      if (!plan.link.empty()) read_link(paths, plan.link, plan.pod);
      out.push_back(std::move(plan.pod));
    }
    return out;
  };
  co_return co_await host_.runtime().blocking(read);
}

}  // namespace mainstay::compute
