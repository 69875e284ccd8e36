#include "capabilities/observe/machine_metrics.h"

#include <sys/statvfs.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "base/files.h"
#include "base/json.h"
#include "base/strings.h"
#include "capabilities/observe/exposition.h"
#include "capabilities/observe/scope.h"
#include "crypto/keys.h"

namespace mainstay::observe {
namespace fs = std::filesystem;
namespace {

void processors(Exposition& out) {
  out.family("node_cpu_seconds_total", "counter", "Seconds the CPUs spent in each mode");
  static constexpr const char* kModes[] = {"user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"};
  std::ifstream in("/proc/stat");
  const double tick = static_cast<double>(::sysconf(_SC_CLK_TCK));
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with("cpu") || line.starts_with("cpu ")) continue;
    std::istringstream fields(line);
    std::string name;
    fields >> name;
    for (const char* mode : kModes) {
      double ticks = 0;
      if (!(fields >> ticks)) break;
      out.sample({{"cpu", std::string_view(name).substr(3)}, {"mode", mode}}, ticks / tick);
    }
  }
}

void memory(Exposition& out) {
  std::ifstream in("/proc/meminfo");
  for (std::string line; std::getline(in, line);) {
    const auto colon = line.find(':');
    if (colon == std::string::npos) continue;
    const std::string name = line.substr(0, colon);
    for (const char* wanted : {"MemTotal", "MemFree", "MemAvailable", "Buffers", "Cached", "SwapTotal", "SwapFree"}) {
      if (name != wanted) continue;
      out.family("node_memory_" + name + "_bytes", "gauge", "From /proc/meminfo");
      out.sample({}, std::atof(line.c_str() + colon + 1) * 1024);
    }
  }
}

void load(Exposition& out) {
  double one = 0, five = 0, fifteen = 0;
  std::ifstream("/proc/loadavg") >> one >> five >> fifteen;
  const std::pair<const char*, double> values[] = {{"node_load1", one}, {"node_load5", five}, {"node_load15", fifteen}};
  for (const auto& [name, value] : values) {
    out.family(name, "gauge", "Load average");
    out.sample({}, value);
  }
}

void disk(Exposition& out, const fs::path& data_dir) {
  struct statvfs info{};
  if (::statvfs(data_dir.c_str(), &info) != 0) return;
  const double block = static_cast<double>(info.f_frsize);
  const std::pair<const char*, double> values[] = {
      {"node_filesystem_size_bytes", static_cast<double>(info.f_blocks) * block},
      {"node_filesystem_free_bytes", static_cast<double>(info.f_bfree) * block},
      {"node_filesystem_avail_bytes", static_cast<double>(info.f_bavail) * block},
      {"node_filesystem_files", static_cast<double>(info.f_files)},
      {"node_filesystem_files_free", static_cast<double>(info.f_ffree)}};
  const std::string mount = data_dir.string();
  for (const auto& [name, value] : values) {
    out.family(name, "gauge", "Of the file system that holds the data directory");
    out.sample({{"mountpoint", mount}}, value);
  }
}

void links(Exposition& out) {
  struct Link {
    std::string name;
    double received, sent;
  };
  std::vector<Link> all;
  std::ifstream in("/proc/net/dev");
  for (std::string line; std::getline(in, line);) {
    const auto colon = line.find(':');
    if (colon == std::string::npos) continue;
    const std::string name(base::trim(std::string_view(line).substr(0, colon)));
    // Pods' links are counted as the pods' own, and come and go.
    if (fs::exists("/sys/class/net/" + name + "/master")) continue;
    std::istringstream fields(line.substr(colon + 1));
    double values[9] = {};
    for (double& value : values) fields >> value;
    all.push_back({name, values[0], values[8]});
  }
  out.family("node_network_receive_bytes_total", "counter", "Bytes received by a link");
  for (const Link& link : all) out.sample({{"device", link.name}}, link.received);
  out.family("node_network_transmit_bytes_total", "counter", "Bytes sent by a link");
  for (const Link& link : all) out.sample({{"device", link.name}}, link.sent);
}

}  // namespace

std::string node_metrics(const fs::path& data_dir) {
  Exposition out;
  processors(out);
  memory(out);
  load(out);
  disk(out, data_dir);
  links(out);
  double up = 0;
  std::ifstream("/proc/uptime") >> up;
  out.family("node_boot_time_seconds", "gauge", "When the machine was started, in seconds since 1970");
  out.sample({}, static_cast<double>(::time(nullptr)) - up);
  return out.take();
}

std::string certificate_metrics(const fs::path& data_dir) {
  std::vector<fs::path> files{data_dir / "ca.crt"};
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(data_dir / "edge" / "certificates", ignored)) {
    if (files.size() < 1000) files.push_back(entry.path());
  }
  Exposition out;
  out.family("mainstay_certificate_expiry_timestamp_seconds", "gauge",
             "When a certificate ends, in seconds since 1970");
  for (const fs::path& file : files) {
    const auto pem = base::read_file(file, 1u << 20);
    if (!pem) continue;
    const auto info = crypto::inspect_certificate(*pem);
    if (!info) continue;
    const std::string name = file.filename() == "ca.crt" ? "authority" : "edge/" + file.stem().string();
    out.sample({{"name", name}}, std::chrono::duration<double>(info->not_after.time_since_epoch()).count());
  }
  return out.take();
}

namespace {

struct Facts {
  std::string team, workload;
};
using AllFacts = std::vector<Facts>;  // of the pods, in their order

using ContainerValue = double (*)(const platform::ContainerStats&);
struct ContainerFamily {
  const char *name, *type, *help;
  ContainerValue value;
};
constexpr ContainerFamily kContainerFamilies[] = {
    {"container_cpu_usage_seconds_total", "counter", "CPU time used",
     [](const platform::ContainerStats& c) { return c.cpu_seconds; }},
    {"container_cpu_cfs_periods_total", "counter", "Periods of the CPU limit",
     [](const platform::ContainerStats& c) { return static_cast<double>(c.periods); }},
    {"container_cpu_cfs_throttled_periods_total", "counter", "Periods in which the limit was reached",
     [](const platform::ContainerStats& c) { return static_cast<double>(c.throttled); }},
    {"container_cpu_cfs_throttled_seconds_total", "counter", "Time kept waiting by the CPU limit",
     [](const platform::ContainerStats& c) { return c.throttled_seconds; }},
    {"container_memory_usage_bytes", "gauge", "Memory in use, with the page cache",
     [](const platform::ContainerStats& c) { return static_cast<double>(c.memory_usage); }},
    {"container_memory_working_set_bytes", "gauge", "Memory in use that cannot be given back",
     [](const platform::ContainerStats& c) { return static_cast<double>(c.memory_working_set); }},
    {"container_memory_rss", "gauge", "Anonymous memory",
     [](const platform::ContainerStats& c) { return static_cast<double>(c.memory_rss); }},
    {"container_spec_memory_limit_bytes", "gauge", "The memory limit; 0: none",
     [](const platform::ContainerStats& c) { return static_cast<double>(c.memory_limit); }},
    {"container_start_time_seconds", "gauge", "When the container was started, in seconds since 1970",
     [](const platform::ContainerStats& c) { return static_cast<double>(c.started); }}};

struct NetworkFamily {
  const char* name;
  std::uint64_t platform::PodStats::* value;
};
constexpr NetworkFamily kNetworkFamilies[] = {
    {"container_network_receive_bytes_total", &platform::PodStats::received_bytes},
    {"container_network_receive_packets_total", &platform::PodStats::received_packets},
    {"container_network_receive_errors_total", &platform::PodStats::received_errors},
    {"container_network_receive_packets_dropped_total", &platform::PodStats::received_dropped},
    {"container_network_transmit_bytes_total", &platform::PodStats::sent_bytes},
    {"container_network_transmit_packets_total", &platform::PodStats::sent_packets},
    {"container_network_transmit_errors_total", &platform::PodStats::sent_errors},
    {"container_network_transmit_packets_dropped_total", &platform::PodStats::sent_dropped}};

}  // namespace

std::string container_metrics(const std::vector<platform::PodStats>& pods, const client::Cache& namespaces,
                              const client::Cache& pod_objects) {
  AllFacts facts;
  for (const platform::PodStats& pod : pods) {
    const client::ObjectPtr object = pod_objects.get(pod.ns, pod.name);
    facts.push_back({team_of(namespaces, pod.ns), object ? workload_of(*object) : pod.name});
  }
  Exposition out;
  for (const ContainerFamily& family : kContainerFamilies) {
    out.family(family.name, family.type, family.help);
    for (std::size_t i = 0; i < pods.size(); ++i) {
      for (const platform::ContainerStats& container : pods[i].containers)
        out.sample({{"namespace", pods[i].ns},
                    {"team", facts[i].team},
                    {"pod", pods[i].name},
                    {"workload", facts[i].workload},
                    {"container", container.name},
                    {"image", container.image}},
                   family.value(container));
    }
  }
  for (const NetworkFamily& family : kNetworkFamilies) {
    out.family(family.name, "counter", "Of the pod's link");
    for (std::size_t i = 0; i < pods.size(); ++i)
      out.sample({{"namespace", pods[i].ns},
                  {"team", facts[i].team},
                  {"pod", pods[i].name},
                  {"workload", facts[i].workload},
                  {"interface", "eth0"}},
                 static_cast<double>(pods[i].*family.value));
  }
  return out.take();
}

}  // namespace mainstay::observe
