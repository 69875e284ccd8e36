#include "capabilities/pipelines/capability.h"

#include "capabilities/pipelines/attestations.h"
#include "capabilities/pipelines/build_caches.h"
#include "capabilities/pipelines/delivery/dora.h"
#include "capabilities/pipelines/delivery/release_reconcile.h"
#include "capabilities/pipelines/delivery/verbs.h"
#include "capabilities/pipelines/deploy.h"
#include "capabilities/pipelines/follower.h"
#include "capabilities/pipelines/job_pod.h"
#include "capabilities/pipelines/progress.h"
#include "capabilities/pipelines/run_reconcile.h"
#include "capabilities/pipelines/trigger.h"

namespace mainstay::embedded {
base::EmbeddedFiles pipelines_files();
}

namespace mainstay::pipelines {
namespace {

async::Task<platform::Health> health(platform::Host& host) {
  if (!host.find<platform::GitReader>())
    co_return platform::Health{false, "there is no source control: no run can start"};
  if (!host.config().compute) co_return platform::Health{false, "started with --no-compute: runs wait for ever"};
  co_return platform::Health{true, ""};
}

async::Task<platform::Health> delivery_health(platform::Host& host) {
  if (!host.find<platform::Attester>())
    co_return platform::Health{false, "nobody signs on this platform: releases cannot be approved"};
  co_return platform::Health{true, ""};
}

void add_subresources(platform::Host& host, std::shared_ptr<RunStore> store, std::shared_ptr<Deployer> deployer) {
  api::Server::Subresource progress;
  progress.group = "mainstay.dev";
  progress.resource = "workflowruns";
  progress.subresource = "progress";
  progress.method = "POST";
  progress.verb = "create";
  progress.summary = "What a job's runner reports of its steps";
  progress.handler = [store](std::shared_ptr<api::RequestContext> context) {
    return handle_progress(store, std::move(context));
  };
  host.api().add_subresource(progress);
  api::Server::Subresource deploy = progress;
  deploy.subresource = "deploy";
  deploy.summary = "Deploys what the run built, and tells how the rollout goes";
  deploy.handler = [deployer](std::shared_ptr<api::RequestContext> context) {
    return deployer->handle(std::move(context));
  };
  host.api().add_subresource(deploy);
}

void add_delivery_verbs(platform::Host& host, std::shared_ptr<Releases> releases) {
  auto verbs = std::make_shared<DeliveryVerbs>(host, std::move(releases));
  using Verb = async::Task<net::Response> (DeliveryVerbs::*)(std::shared_ptr<api::RequestContext>);
  const auto add = [&](const char* resource, const char* name, const char* summary, Verb verb) {
    host.api().add_subresource({.group = "mainstay.dev",
                                .resource = resource,
                                .subresource = name,
                                .method = "POST",
                                .verb = "create",
                                .summary = summary,
                                .handler = [verbs, verb](std::shared_ptr<api::RequestContext> context) {
                                  return ((*verbs).*verb)(std::move(context));
                                }});
  };
  add("releases", "promote", "Deploys the release in the next environment, once it is approved there",
      &DeliveryVerbs::promote);
  add("releases", "approve", "Approves the release for an environment, as a signed statement", &DeliveryVerbs::approve);
  add("releases", "rollback", "Goes back to what was deployed in the environment before", &DeliveryVerbs::rollback);
  add("workflowruns", "rerun", "Runs the same workflow at the same commit again", &DeliveryVerbs::rerun);
}

// A team's name, from objects in its namespace.
std::vector<reconcile::Name> team_of(const boost::json::value& object) {
  return {{"", base::get_string(object, "metadata.namespace")}};
}

void add_delivery_controllers(platform::Host& host, std::shared_ptr<Releases> releases,
                              std::shared_ptr<Deployer> deployer) {
  auto reconciler = std::make_shared<ReleaseReconciler>(host, releases, std::move(deployer));
  // A change of what an environment asks for concerns the releases that wait there.
  reconcile::Watched environments{kEnvironments, [releases](const boost::json::value& environment) {
                                    std::vector<reconcile::Name> names;
                                    const std::string team = base::get_string(environment, "metadata.namespace");
                                    for (const auto& release : releases->all(team))
                                      names.push_back({team, base::get_string(*release, "metadata.name")});
                                    return names;
                                  }};
  // A run that ended may have left a deployment of its own half done.
  reconcile::Watched runs{client::resources::kWorkflowRuns, [releases](const boost::json::value& run) {
                            std::vector<reconcile::Name> names;
                            if (!is_final(base::get_string(run, "status.phase"))) return names;
                            const std::string team = base::get_string(run, "metadata.namespace");
                            for (const auto& release : releases->all(team))
                              if (base::get_string(*release, "spec.run") == base::get_string(run, "metadata.name"))
                                names.push_back({team, base::get_string(*release, "metadata.name")});
                            return names;
                          }};
  // Each waits through a whole rollout: one team's failing ones are not to hold up another's.
  host.add_controller(
      {.name = "release", .primary = kReleases, .also = {std::move(environments), std::move(runs)}, .workers = 64},
      [reconciler](reconcile::Name name) { return reconciler->reconcile(std::move(name)); });
  reconcile::Watched namespaces{client::resources::kNamespaces, [](const boost::json::value& ns) {
                                  std::vector<reconcile::Name> names;
                                  if (std::string team = base::label(ns, "mainstay.dev/team"); !team.empty())
                                    names.push_back({"", std::move(team)});
                                  return names;
                                }};
  host.add_controller({.name = "environment",
                       .primary = client::resources::kTeams,
                       .also = {std::move(namespaces), {kEnvironments, team_of}},
                       .workers = 2},
                      [&host, client = host.client("pipelines")](reconcile::Name name) {
                        return reconcile_environments(host, client, std::move(name));
                      });
  host.add_controller({.name = "delivery-report",
                       .primary = client::resources::kTeams,
                       .also = {{kReleases, team_of}, {kEnvironments, team_of}},
                       .workers = 2},
                      [&host, releases, client = host.client("pipelines")](reconcile::Name name) {
                        return reconcile_report(host, releases, client, std::move(name));
                      });
}

}  // namespace

void register_pipelines(platform::Host& host) {
  auto store = std::make_shared<RunStore>(host.runtime().executor(), host.client("pipelines"), host.clock());
  auto attestations = std::make_shared<Attestations>(host, store);
  auto trigger = std::make_shared<Trigger>(host);
  auto runs = std::make_shared<RunReconciler>(host, store, attestations);
  auto releases = std::make_shared<Releases>(host);
  auto deployer = std::make_shared<Deployer>(host, store, attestations, releases);
  auto follower = std::make_shared<Follower>(host, trigger);

  host.add_files(embedded::pipelines_files());
  host.provide<platform::PushFollower>(follower);
  add_subresources(host, store, deployer);
  add_delivery_verbs(host, releases);
  add_delivery_gate(host, releases);
  add_delivery_controllers(host, releases, deployer);
  host.add_controller({.name = "push", .primary = client::resources::kRepositories, .also = {}, .workers = 4},
                      [trigger](reconcile::Name name) { return trigger->reconcile(std::move(name)); });
  reconcile::Watched pods{client::resources::kPods, [](const boost::json::value& pod) {
                            std::vector<reconcile::Name> names;
                            if (std::string run = base::label(pod, kRunLabel); !run.empty())
                              names.push_back({base::get_string(pod, "metadata.namespace"), std::move(run)});
                            return names;
                          }};
  host.add_controller(
      {.name = "workflow-run", .primary = client::resources::kWorkflowRuns, .also = {std::move(pods)}, .workers = 8},
      [runs](reconcile::Name name) { return runs->reconcile(std::move(name)); });
  static constexpr auto start = [](std::shared_ptr<Attestations> attestations, std::shared_ptr<Trigger> trigger,
                                   std::shared_ptr<RunReconciler> runs, std::shared_ptr<Deployer> deployer,
                                   std::shared_ptr<Follower> follower, platform::Host* host) -> async::Task<> {
    attestations->start();
    trigger->start();
    runs->start();
    deployer->start();
    follower->start();
    forget_build_caches(*host);
    co_return;
  };
  auto* h = &host;
  host.on_start("pipelines", [=] { return start(attestations, trigger, runs, deployer, follower, h); });
  host.add_capability({.name = "pipelines",
                       .title = "General developer tools",
                       .number = 2,
                       .part = "CI and CD",
                       .provider = "built-in",
                       .engine = "",
                       .lost_without = "builds, tests and deployments of what is pushed",
                       .health = [&host] { return health(host); }});
  host.add_capability({.name = "delivery",
                       .title = "General developer tools",
                       .number = 2,
                       .part = "promotion and approvals",
                       .provider = "built-in",
                       .engine = "",
                       .lost_without = "a way to production that somebody else has looked at, and the way back",
                       .health = [&host] { return delivery_health(host); }});
}

}  // namespace mainstay::pipelines
