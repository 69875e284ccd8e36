#include "capabilities/observe/capability.h"

#include <unistd.h>

#include <fstream>
#include <stdexcept>

#include "capabilities/observe/alerting.h"
#include "capabilities/observe/collector.h"
#include "capabilities/observe/dashboard.h"
#include "capabilities/observe/default_dashboards.h"
#include "capabilities/observe/exporter.h"
#include "capabilities/observe/loki_routes.h"
#include "capabilities/observe/metrics_engine.h"
#include "capabilities/observe/platform_logs.h"
#include "capabilities/observe/prometheus_routes.h"
#include "capabilities/observe/routes.h"

namespace mainstay::embedded {
base::EmbeddedFiles observe_files();
}

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

async::Task<> follow_platform(std::shared_ptr<PlatformLogs> logs) { co_await logs->start(); }
async::Task<> start_metrics(std::shared_ptr<MetricsEngine> engine) { co_await engine->start(); }
async::Task<> stop_metrics(std::shared_ptr<MetricsEngine> engine) { co_await engine->stop(); }
async::Task<platform::Health> ask_metrics(std::shared_ptr<MetricsEngine> engine) { co_return engine->health(); }
// The engine may take seconds to be there: nobody waits for it.
async::Task<> launch_metrics(platform::Host* host, std::shared_ptr<MetricsEngine> engine) {
  if (!MetricsEngine::installed()) co_return;
  if (auto opened = engine->open(); !opened) throw std::runtime_error(opened.error().message);
  host->tasks().spawn("metrics engine", start_metrics(engine));
}

void register_metrics(platform::Host& host) {
  auto engine = std::make_shared<MetricsEngine>(host);
  add_prometheus_routes(host, engine);
  auto scrapes = std::make_shared<Scrapes>(host.runtime().executor());
  add_scrapes_route(host, scrapes);
  add_exporter(host, scrapes);
  platform::CapabilityInfo info;
  info.name = "metrics";
  info.title = "Observability";
  info.number = 6;
  info.part = "metrics";
  info.provider = MetricsEngine::installed() ? "built-in" : "none";
  info.engine = MetricsEngine::installed() ? "VictoriaMetrics" : "VictoriaMetrics (apt-get install victoria-metrics)";
  info.lost_without = "No graph says what a workload uses or how it answers, and no alert can fire.";
  info.health = [engine] { return ask_metrics(engine); };
  host.add_capability(std::move(info));
  host.on_start("metrics", [host = &host, engine] { return launch_metrics(host, engine); });
  host.on_stop("metrics", [engine] { return stop_metrics(engine); });
  Alerting::add_to(host, std::make_shared<Alerting>(host, engine));
}

}  // namespace

void register_observe(platform::Host& host) {
  auto store = std::make_shared<LogStore>(host.runtime(), host.config().dir("logs"), kMaxBytesANamespace);
  auto collector = std::make_shared<Collector>(host.runtime(), host.tasks(), store, host.metrics());
  if (auto started = collector->start(); !started) throw std::runtime_error(started.error().message);
  host.provide<platform::LogCollector>(collector);
  add_routes(host, store);
  add_loki_routes(host, store);
  auto platform_logs = std::make_shared<PlatformLogs>(host, store);
  host.on_start("platform logs", [platform_logs] { return follow_platform(platform_logs); });
  add_process_metrics(host.metrics());
  host.add_files(embedded::observe_files());
  host.api().add_admission(dashboard_admission());
  add_default_dashboards(host);
  register_metrics(host);
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
