#include "capabilities/cloud/terraform/terraform.h"

#include "capabilities/cloud/terraform/backend.h"
#include "capabilities/cloud/terraform/runs.h"
#include "capabilities/cloud/terraform/verbs.h"
#include "capabilities/cloud/terraform/workspaces.h"

namespace mainstay::embedded {
base::EmbeddedFiles terraform_files();
}

namespace mainstay::cloud {
namespace {

std::vector<reconcile::Name> one(std::string ns, std::string name) { return {{std::move(ns), std::move(name)}}; }

// "namespace/run" of a run's pod.
std::vector<reconcile::Name> run_of_pod(const boost::json::value& pod) {
  const std::string of = base::annotation(pod, "mainstay.dev/terraform-run-of");
  const auto slash = of.find('/');
  if (slash == std::string::npos || base::get_string(pod, "metadata.namespace") != kRunsNamespace) return {};
  return one(of.substr(0, slash), of.substr(slash + 1));
}

std::vector<reconcile::Name> workspace_of_run(const boost::json::value& run) {
  return one(base::get_string(run, "metadata.namespace"), base::get_string(run, "spec.workspace"));
}

// The runs that wait for this one's end.
std::vector<reconcile::Name> waiting_runs(platform::Host* host, const boost::json::value& workspace) {
  std::vector<reconcile::Name> out;
  for (const auto& run : host->caches().of(kTerraformRuns)->list(base::get_string(workspace, "metadata.namespace")))
    if (base::get_string(*run, "spec.workspace") == base::get_string(workspace, "metadata.name") &&
        base::get_string(*run, "status.phase") == "Pending")
      out.push_back({base::get_string(*run, "metadata.namespace"), base::get_string(*run, "metadata.name")});
  return out;
}

// A push may be what a workspace follows.
std::vector<reconcile::Name> followers(platform::Host* host, const boost::json::value& repository) {
  std::vector<reconcile::Name> out;
  for (const auto& workspace : host->caches().of(kWorkspaces)->list())
    if (base::get_string(*workspace, "spec.source.repository") == base::get_string(repository, "metadata.name"))
      out.push_back(
          {base::get_string(*workspace, "metadata.namespace"), base::get_string(*workspace, "metadata.name")});
  return out;
}

async::Task<platform::Health> health(platform::Host* host) {
  std::size_t active = 0, waiting = 0;
  for (const auto& run : host->caches().of(kTerraformRuns)->list()) {
    const std::string phase = base::get_string(*run, "status.phase");
    if (phase == "AwaitingApproval")
      ++waiting;
    else if (!is_over(phase))
      ++active;
  }
  const std::string program = find_program();
  co_return platform::Health{
      true,
      fmt::format("{}; {} runs going on, {} waiting for approval",
                  program.empty() ? std::string("no terraform or tofu in the PATH: workspaces need an image") : program,
                  active, waiting)};
}

}  // namespace

void register_terraform(platform::Host& host) {
  host.add_files(embedded::terraform_files());
  add_state_backend(host);
  add_terraform_verbs(host);
  auto drivers = host.find<platform::ResourceDrivers>();
  if (!drivers) {
    drivers = std::make_shared<platform::ResourceDrivers>();
    host.provide(drivers);
  }
  drivers->add("terraform", std::make_shared<TerraformDriver>(host));
  auto runs = std::make_shared<RunReconciler>(host);
  auto workspaces = std::make_shared<WorkspaceReconciler>(host);
  host.add_capability({.name = "terraform",
                       .title = "Cloud",
                       .number = 3,
                       .part = "Terraform",
                       .provider = "built-in",
                       .engine = "terraform or tofu of this machine, or of an image",
                       .lost_without = "Public clouds are set up by hand, from laptops.",
                       .health = [host = &host] { return health(host); }});
  host.on_start("terraform", [runs] { return runs->start(); });
  reconcile::ControllerOptions for_runs;
  for_runs.name = "terraform-run";
  for_runs.primary = kTerraformRuns;
  for_runs.also = {{client::resources::kPods, run_of_pod},
                   {kWorkspaces, [&host](const boost::json::value& w) { return waiting_runs(&host, w); }}};
  host.add_controller(for_runs, [runs](reconcile::Name name) { return runs->reconcile(std::move(name)); });
  reconcile::ControllerOptions for_workspaces;
  for_workspaces.name = "terraform-workspace";
  for_workspaces.primary = kWorkspaces;
  for_workspaces.also = {
      {kTerraformRuns, workspace_of_run},
      {client::resources::kRepositories, [&host](const boost::json::value& r) { return followers(&host, r); }}};
  host.add_controller(for_workspaces,
                      [workspaces](reconcile::Name name) { return workspaces->reconcile(std::move(name)); });
}

}  // namespace mainstay::cloud
