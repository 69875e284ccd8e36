#include "capabilities/compute/capability.h"

#include "base/log.h"
#include "capabilities/compute/admission.h"
#include "capabilities/compute/agent/agent.h"
#include "capabilities/compute/agent/stats.h"
#include "capabilities/compute/controllers/controllers.h"
#include "capabilities/compute/controllers/job.h"
#include "capabilities/compute/forward/port_forward.h"
#include "capabilities/compute/logs/log_route.h"
#include "capabilities/compute/metrics/metrics_api.h"
#include "capabilities/compute/network/policy_check.h"
#include "capabilities/compute/pod/exec_route.h"
#include "capabilities/compute/pod_fields.h"
#include "capabilities/compute/volume/claims.h"

namespace mainstay::embedded {
base::EmbeddedFiles compute_files();
}

namespace mainstay::compute {
namespace {

async::Task<> start_agent(std::shared_ptr<Agent> agent) { co_await agent->start(); }
async::Task<> stop_agent(std::shared_ptr<Agent> agent) { co_await agent->stop(); }
async::Task<platform::Health> ask_health(std::shared_ptr<Agent> agent) { co_return agent->health(); }
async::Task<platform::Health> switched_off() {
  co_return platform::Health{false, "switched off by --no-compute: pods stay Pending"};
}

api::Server::Subresource subresource(
    std::string name, std::string method, std::string verb, std::string summary,
    std::function<async::Task<net::Response>(std::shared_ptr<api::RequestContext>)> handler) {
  return {"", "pods", std::move(name), std::move(method), std::move(verb), std::move(summary), std::move(handler)};
}

}  // namespace

void register_compute(platform::Host& host) {
  host.add_files(embedded::compute_files());
  register_workload_controllers(host);
  JobController::add_to(host);
  register_volume_claims(host);
  host.api().add_admission(pod_fields_admission());
  host.api().add_admission(pod_admission(host));
  host.api().add_admission(network_policy_admission());
  auto agent = std::make_shared<Agent>(host);
  host.api().add_subresource(subresource(
      "log", "GET", "get", "Read the log of a container",
      [agent](std::shared_ptr<api::RequestContext> context) { return serve_log(agent, std::move(context)); }));
  // A WebSocket begins with GET; that alone must not let those in who may only read.
  for (const char* method : {"GET", "POST"}) {
    host.api().add_subresource(subresource(
        "exec", method, "create", "Run a command in a container, over a WebSocket",
        [agent](std::shared_ptr<api::RequestContext> context) { return serve_exec(agent, std::move(context)); }));
    host.api().add_subresource(subresource("portforward", method, "create",
                                           "Connections to ports of a pod, over a WebSocket",
                                           [agent](std::shared_ptr<api::RequestContext> context) {
                                             return serve_port_forward(agent, std::move(context));
                                           }));
  }
  add_metrics_api(host, agent);
  platform::CapabilityInfo info;
  info.name = "compute";
  info.title = "Dynamic compute";
  info.number = 4;
  info.provider = "built-in";
  info.engine = "crun under conmon";
  info.lost_without = "nothing runs: no workload, no workflow job";
  if (!host.config().compute) {
    info.health = switched_off;
    host.add_capability(std::move(info));
    return;
  }
  info.health = [agent] { return ask_health(agent); };
  host.add_capability(std::move(info));
  host.provide<platform::StatsSource>(std::make_shared<AgentStats>(host, agent));
  host.on_start("compute", [agent] { return start_agent(agent); });
  host.on_stop("compute", [agent] { return stop_agent(agent); });
}

}  // namespace mainstay::compute
