#include "capabilities/compute/node.h"

#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <limits>

#include "base/strings.h"
#include "capabilities/compute/agent/context.h"
#include "capabilities/compute/fs.h"
#include "reconcile/controller.h"

namespace mainstay::compute {
namespace {

constexpr std::int64_t kUnlimited = std::numeric_limits<std::int64_t>::max();
// What Mainstay itself and the system keep: pods are not scheduled into it.
constexpr std::int64_t kReservedMemory = 512ll << 20, kReservedCpuMilli = 100;

std::int64_t number_in(const std::string& path) {
  const std::string text(base::trim(slurp(path, 64)));
  std::int64_t out = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return text.empty() || error != std::errc() ? kUnlimited : out;
}

std::int64_t total_memory() {
  std::ifstream in("/proc/meminfo");
  std::string key, unit;
  std::int64_t kib = 0;
  while (in >> key >> kib >> unit) {
    if (key == "MemTotal:") return kib * 1024;
  }
  return 0;
}

std::string os_image() {
  for (std::string_view line : base::split(slurp("/etc/os-release"), '\n')) {
    if (!line.starts_with("PRETTY_NAME=")) continue;
    line.remove_prefix(12);
    if (line.starts_with('"') && line.ends_with('"') && line.size() > 1) line = line.substr(1, line.size() - 2);
    return std::string(line);
  }
  return "Linux";
}

json::object quantities(std::int64_t cpu_milli, std::int64_t memory, const NodeResources& r) {
  return {{"cpu", cpu_milli % 1000 == 0 ? std::to_string(cpu_milli / 1000) : std::to_string(cpu_milli) + "m"},
          {"memory", std::to_string(memory / 1024) + "Ki"},
          {"ephemeral-storage", std::to_string(r.disk / 1024) + "Ki"},
          {"pods", std::to_string(r.pods)}};
}

}  // namespace

NodeResources machine_resources() {
  NodeResources out;
  out.cpu_milli = std::max<std::int64_t>(::sysconf(_SC_NPROCESSORS_ONLN), 1) * 1000;
  out.memory = total_memory();
  // A container or a unit may have less than the machine: cgroup v2, then v1.
  out.memory = std::min(
      {out.memory, number_in("/sys/fs/cgroup/memory.max"), number_in("/sys/fs/cgroup/memory/memory.limit_in_bytes")});
  const auto quota = base::split(slurp("/sys/fs/cgroup/cpu.max", 64), ' ');
  std::int64_t limit = 0, period = 0;
  if (quota.size() == 2 &&
      std::from_chars(quota[0].data(), quota[0].data() + quota[0].size(), limit).ec == std::errc() &&
      std::from_chars(quota[1].data(), quota[1].data() + quota[1].size(), period).ec == std::errc() && period > 0)
    out.cpu_milli = std::min(out.cpu_milli, limit * 1000 / period);
  struct statvfs disk{};
  if (::statvfs("/", &disk) == 0) out.disk = static_cast<std::int64_t>(disk.f_blocks * disk.f_frsize);
  return out;
}

json::value node_object(const base::Config& config) {
  return json::object{
      {"apiVersion", "v1"},
      {"kind", "Node"},
      {"metadata", json::object{{"name", kNodeName},
                                {"labels", json::object{{"kubernetes.io/hostname", kNodeName},
                                                        {"kubernetes.io/os", "linux"},
                                                        {"kubernetes.io/arch", "amd64"},
                                                        {"node-role.kubernetes.io/control-plane", ""}}}}},
      {"spec", json::object{{"podCIDR", config.pod_cidr}, {"podCIDRs", json::array{config.pod_cidr}}}}};
}

json::value node_status(const base::Config& config, const NodeResources& r, const std::string& engine,
                        const json::value& before, base::SystemTime now) {
  json::value holder =
      json::object{{"status", json::object{{"conditions", base::get_array(before, "status.conditions")}}}};
  const auto set = [&](const char* type, const char* value, const char* reason, const char* message) {
    reconcile::set_condition(holder, type, value, reason, message, now);
  };
  set("MemoryPressure", "False", "KubeletHasSufficientMemory", "the node has sufficient memory");
  set("DiskPressure", "False", "KubeletHasNoDiskPressure", "the node has no disk pressure");
  set("PIDPressure", "False", "KubeletHasSufficientPID", "the node has sufficient process ids");
  set("Ready", "True", "KubeletReady", "the node agent runs pods");
  json::value status = json::value(base::get_object(holder, "status"));
  struct utsname kernel{};
  ::uname(&kernel);
  base::set(status, "capacity", quantities(r.cpu_milli, r.memory, r));
  base::set(status, "allocatable",
            quantities(std::max<std::int64_t>(r.cpu_milli - kReservedCpuMilli, 100),
                       std::max<std::int64_t>(r.memory - kReservedMemory, r.memory / 2), r));
  base::set(status, "addresses",
            json::array{json::object{{"type", "InternalIP"}, {"address", config.node_address()}},
                        json::object{{"type", "Hostname"}, {"address", kNodeName}}});
  base::set(status, "nodeInfo",
            json::object{{"machineID", base::trim(slurp("/etc/machine-id", 64))},
                         {"systemUUID", ""},
                         {"bootID", base::trim(slurp("/proc/sys/kernel/random/boot_id", 64))},
                         {"kernelVersion", kernel.release},
                         {"osImage", os_image()},
                         {"containerRuntimeVersion", engine},
                         {"kubeletVersion", "v1.32.0-mainstay"},
                         {"kubeProxyVersion", "v1.32.0-mainstay"},
                         {"operatingSystem", "linux"},
                         {"architecture", "amd64"}});
  base::set(status, "daemonEndpoints", json::object{{"kubeletEndpoint", json::object{{"Port", config.listen.port}}}});
  return status;
}

std::set<std::string> mounted_layers(const base::Config& config) {
  std::set<std::string> out;
  const std::string prefix = config.dir("layers").string() + "/", table = slurp("/proc/self/mountinfo", 64u << 20);
  for (auto at = table.find(prefix); at != std::string::npos; at = table.find(prefix, at + 1)) {
    const std::string digest = table.substr(at + prefix.size(), 64);
    if (digest.find_first_not_of("0123456789abcdef") == std::string::npos) out.insert("sha256:" + digest);
  }
  return out;
}

}  // namespace mainstay::compute
