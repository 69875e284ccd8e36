#include "capabilities/routing/capability.h"

#include <grp.h>
#include <pwd.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <stdexcept>
#include <thread>

#include "async/foreign_process.h"
#include "base/log.h"
#include "capabilities/routing/dns/dns_service.h"
#include "capabilities/routing/edge.h"
#include "capabilities/routing/gateway/gateway_controller.h"
#include "capabilities/routing/mesh/mesh.h"
#include "capabilities/routing/routing_controller.h"

namespace mainstay::embedded {
base::EmbeddedFiles routing_files();
}

namespace mainstay::routing {
namespace {

EdgeSettings settings_from(const base::Config& config) {
  EdgeSettings s;
  s.dir = config.dir("edge");
  s.http = config.http;
  s.https = config.https;
  s.domain = config.domain;
  s.threads = std::clamp(std::thread::hardware_concurrency(), 1u, 4u);
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  s.max_connections = connections_for(limit.rlim_max);
  if (::geteuid() == 0) {
    // The package's own user where it is there; it owns nothing.
    const bool own = ::getpwnam("haproxy") != nullptr && ::getgrnam("haproxy") != nullptr;
    s.user = own ? "haproxy" : "nobody";
    s.group = own ? "haproxy" : "nogroup";
  }
  return s;
}

// An edge whose data directory somebody deleted without `mainstay down` holds its ports for ever otherwise.
async::Task<> end_orphans(platform::Host* host) {
  for (const EdgeProcess& edge : edge_processes()) {
    if (!edge.orphaned) continue;
    auto process = async::ForeignProcess::open(host->runtime().executor(), edge.pid);
    if (!process) continue;
    base::log::warn("edge", "ending HAProxy {}, left over from the deleted data directory {}", edge.pid,
                    edge.data_dir.string());
    (*process)->kill(SIGTERM);
    if (!co_await async::with_timeout((*process)->ended(), std::chrono::seconds(2))) (*process)->kill(SIGKILL);
  }
}

async::Task<> stop_edge(platform::Host* host, std::shared_ptr<Edge> edge) {
  // Without pods there is nothing to go on serving.
  if (host->config().compute) {
    co_await edge->stop();
  } else {
    co_await edge->end();
  }
}

async::Task<> start_edge(platform::Host* host, std::shared_ptr<Edge> edge,
                         std::shared_ptr<RoutingController> controller, std::shared_ptr<GatewayController> gateway) {
  co_await end_orphans(host);
  co_await controller->begin();
  co_await gateway->begin();
  const auto started = co_await edge->start();
  if (!started) {
    // Without the program the rest of Mainstay is of use still; with it, what fails is a mistake to mend now (a taken
    // port).
    if (started.error().code != base::ErrorCode::kNotFound) throw std::runtime_error(started.error().message);
    base::log::error("edge", "{}: nothing is served until it is installed (apt-get install haproxy)",
                     started.error().message);
  }
  host->tasks().spawn("edge upkeep", edge->keep_up());
  host->tasks().spawn("gateway", GatewayController::run(gateway));
}

async::Task<platform::Health> ask_health(std::shared_ptr<Edge> edge) { co_return edge->health(); }

}  // namespace

void register_routing(platform::Host& host) {
  mesh::register_mesh(host);
  const base::Config& config = host.config();
  host.add_files(embedded::routing_files());
  const auto dns = dns::DnsService::add_to(host);
  if (config.http.port == 0 && config.https.port == 0) return;  // no edge was asked for
  auto edge = std::make_shared<Edge>(host, settings_from(config));
  auto controller = std::make_shared<RoutingController>(host, edge, dns);
  auto gateway = std::make_shared<GatewayController>(host, edge, dns);
  platform::CapabilityInfo info;
  info.name = "routing";
  info.title = "Ingress and traffic routing";
  info.number = 5;
  info.part = "ingress";
  info.provider = "built-in";
  info.engine = "HAProxy 2.6.12";
  info.lost_without = "workloads have no URL: they are reachable only from inside, by their Service's address";
  info.health = [edge] { return ask_health(edge); };
  host.add_capability(std::move(info));
  host.provide<platform::TrafficDrain>(edge);
  RoutingController::add_to(host, controller);
  host.on_start("edge",
                [host = &host, edge, controller, gateway] { return start_edge(host, edge, controller, gateway); });
  host.on_stop("edge", [host = &host, edge] { return stop_edge(host, edge); });
}

}  // namespace mainstay::routing
