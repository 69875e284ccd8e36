#include "capabilities/observe/capability.h"

#include <unistd.h>

#include <fstream>
#include <stdexcept>

#include "capabilities/observe/collector.h"
#include "capabilities/observe/routes.h"

namespace mainstay::observe {
namespace {

constexpr std::uint64_t kMaxBytesANamespace = 1u << 30;

// The process's own figures, under the names that every Prometheus client library uses.
void add_process_metrics(base::Metrics& metrics) {
  base::Gauge& resident = metrics.gauge("process_resident_memory_bytes", "Resident memory size in bytes");
  base::Gauge& files = metrics.gauge("process_open_fds", "Number of open file descriptors");
  metrics.on_scrape([&resident, &files] {
    std::uint64_t size = 0, pages = 0;
    std::ifstream("/proc/self/statm") >> size >> pages;
    resident.set(static_cast<double>(pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE))));
    std::error_code ignored;
    files.set(static_cast<double>(std::distance(std::filesystem::directory_iterator("/proc/self/fd", ignored), {})));
  });
}

}  // namespace

void register_observe(platform::Host& host) {
  auto store = std::make_shared<LogStore>(host.runtime(), host.config().dir("logs"), kMaxBytesANamespace);
  auto collector = std::make_shared<Collector>(host.runtime(), host.tasks(), store, host.metrics());
  if (auto started = collector->start(); !started) throw std::runtime_error(started.error().message);
  host.provide<platform::LogCollector>(collector);
  add_routes(host, store);
  add_process_metrics(host.metrics());
  platform::CapabilityInfo info;
  info.name = "observe";
  info.title = "Observability";
  info.number = 6;
  info.part = "logs and events";
  info.provider = "built-in";
  info.lost_without = "A failure is noticed by its users first.";
  host.add_capability(std::move(info));
}

}  // namespace mainstay::observe
