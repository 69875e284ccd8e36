#include "capabilities/pipelines/delivery/release_reconcile.h"

#include "base/log.h"
#include "base/status.h"

namespace mainstay::pipelines {
namespace {

// A run's own deployment ends within this, or the platform was killed in it and the run with it.
constexpr std::chrono::minutes kDeployLimit{12};

// A later request for the same workload and environment that this one must not overtake.
std::string overtaken_by(const std::vector<client::ObjectPtr>& releases, const json::value& release,
                         std::string_view environment) {
  const std::string requested = text_in(*environment_of(release, environment), "requestedAt");
  for (const auto& other : releases) {
    if (base::get_string(*other, "spec.workload") != base::get_string(release, "spec.workload") ||
        base::get_string(*other, "metadata.name") == base::get_string(release, "metadata.name"))
      continue;
    const json::object* entry = environment_of(*other, environment);
    if (entry == nullptr) continue;
    const std::string where = text_in(*entry, "state");
    if ((where == state::kPending || where == state::kDeploying || where == state::kDeployed) &&
        text_in(*entry, "requestedAt") > requested)
      return base::get_string(*other, "metadata.name");
  }
  return "";
}

}  // namespace

async::Task<reconcile::Outcome> ReleaseReconciler::reconcile(reconcile::Name name) {
  const client::ObjectPtr object = host_.caches().of(kReleases)->get(name.ns, name.name);
  if (!object || !base::get_string(*object, "metadata.deletionTimestamp").empty()) co_return reconcile::Outcome::done();
  const auto stages = releases_->stages(name.ns);
  reconcile::Outcome outcome = reconcile::Outcome::done();
  for (const Stage& stage : stages) {
    const json::object* entry = environment_of(*object, stage.name);
    if (entry == nullptr) continue;
    const std::string where = text_in(*entry, "state");
    if (where == state::kDeployed) {
      co_await releases_->supersede_others(*object, stage.name);
      const Stage* next = stage_after(stages, stage.name);
      if (next != nullptr && next->auto_promote && environment_of(*object, next->name) == nullptr)
        co_await follow(*object, *next);
    } else if (where == state::kDeploying && text_in(*entry, "action") == "deploy") {
      outcome = co_await look_after_deploy(*object, stage, text_in(*entry, "requestedAt"));
    } else if (where == state::kAwaitingApproval && releases_->approved(*object, stage)) {
      co_await releases_->change(name, [&](json::value& release) {
        json::object& mine = make_environment(release, stage.name);
        if (text_in(mine, "state") != state::kAwaitingApproval) return;
        mine["state"] = state::kPending;
        mine["message"] = "";
      });
    } else if (where == state::kPending || where == state::kDeploying) {
      co_await deliver(*object, stage);
    }
  }
  co_return outcome;
}

async::Task<> ReleaseReconciler::follow(json::value release, Stage next) {
  const reconcile::Name name{base::get_string(release, "metadata.namespace"),
                             base::get_string(release, "metadata.name")};
  co_await releases_->change(name, [&](json::value& object) {
    if (environment_of(object, next.name) != nullptr) return;
    const std::int64_t missing = releases_->missing(object, next);
    json::object& entry = make_environment(object, next.name);
    entry["state"] = missing <= 0 ? state::kPending : state::kAwaitingApproval;
    entry["action"] = "promote";
    entry["requestedBy"] = "system:mainstay:pipelines";
    entry["requestedAt"] = releases_->now();
    if (missing > 0) entry["message"] = needs_approval(next, missing);
  });
}

// A run deploys by itself, and tells how it ended. Where it ended without a word (cancelled, its pod killed), what it
// began goes on all the same: here it is seen to the end.
async::Task<reconcile::Outcome> ReleaseReconciler::look_after_deploy(json::value release, Stage stage,
                                                                     std::string requested_at) {
  const auto run = host_.caches()
                       .of(client::resources::kWorkflowRuns)
                       ->get(base::get_string(release, "metadata.namespace"), base::get_string(release, "spec.run"));
  const auto since = base::parse_rfc3339(requested_at);
  const auto age = since ? host_.clock().now() - *since : std::chrono::system_clock::duration(kDeployLimit);
  if (run && !is_final(base::get_string(*run, "status.phase")) && age < kDeployLimit)
    co_return reconcile::Outcome::after(kDeployLimit - age + std::chrono::seconds(1));
  co_await deliver(std::move(release), std::move(stage));
  co_return reconcile::Outcome::done();
}

// Moves the entry to Deploying, where nothing speaks against it any more. False: there is nothing to deploy.
async::Task<bool> ReleaseReconciler::begin(json::value release, Stage stage) {
  const reconcile::Name name{base::get_string(release, "metadata.namespace"),
                             base::get_string(release, "metadata.name")};
  const json::value fresh = co_await host_.client("pipelines").get(kReleases, name.ns, name.name);
  if (environment_of(fresh, stage.name) == nullptr) co_return false;
  if (std::string newer = overtaken_by(releases_->all(name.ns), fresh, stage.name); !newer.empty()) {
    co_await releases_->overtaken(name, stage.name, fmt::format("{} was asked for later", newer));
    co_return false;
  }
  const json::value after = co_await releases_->change(name, [&](json::value& object) {
    const std::int64_t missing = releases_->missing(object, stage);
    json::object& entry = make_environment(object, stage.name);
    if (text_in(entry, "state") != state::kPending) return;
    // Asked again, since between the approval and now an approver may have left, or the environment asks for more. What
    // ran there once may run there again.
    if (missing > 0 && text_in(entry, "action") != "rollback") {
      entry["state"] = state::kAwaitingApproval;
      entry["message"] = needs_approval(stage, missing);
    } else {
      entry["state"] = state::kDeploying;
    }
  });
  co_return state_in(after, stage.name) == state::kDeploying;
}

async::Task<> ReleaseReconciler::deliver(json::value release, Stage stage) {
  if (!co_await begin(release, stage)) co_return;
  const reconcile::Name name{base::get_string(release, "metadata.namespace"),
                             base::get_string(release, "metadata.name")};
  const Delivery delivery = Releases::delivery_of(release, stage.name, deployer_->host_suffix(stage.name, name.ns));
  base::Result<Deployer::Outcome> outcome = base::fail(base::ErrorCode::kInternal, "");
  try {
    outcome = co_await deployer_->deliver(delivery, nullptr);
  } catch (const base::StatusError& error) {
    if (error.code() >= 500 || error.is_conflict()) throw;  // worth trying again
    outcome = base::fail(base::ErrorCode::kInvalid, error.message());
  }
  if (outcome) {
    co_await releases_->settle(name, stage.name, outcome->url, "");
    base::log::info("pipelines", "{}/{} is deployed in {}", name.ns, name.name, stage.name);
    co_return;
  }
  base::log::warn("pipelines", "{}/{} in {}: {}", name.ns, name.name, stage.name, outcome.error().message);
  if (outcome.error().code == base::ErrorCode::kConflict) {
    // Another release rolls out there now: it is not to be put back.
    co_await releases_->overtaken(name, stage.name, outcome.error().message);
    co_return;
  }
  // First the Deployment, then the word: a crash between the two comes here again.
  co_await put_back(release, stage);
  co_await releases_->settle(name, stage.name, "", outcome.error().message);
  co_await host_.client("pipelines")
      .event(release, "Warning", "DeploymentFailed", fmt::format("{}: {}", stage.name, outcome.error().message));
}

// The old pods have served all along (nothing is taken away before the new is ready); this makes the Deployment say so.
async::Task<> ReleaseReconciler::put_back(json::value release, Stage stage) {
  const std::string team = base::get_string(release, "metadata.namespace");
  const auto all = releases_->all(team);
  const auto current = current_in(all, base::get_string(release, "spec.workload"), stage.name);
  if (!current || base::get_string(*current, "metadata.name") == base::get_string(release, "metadata.name") ||
      !overtaken_by(all, release, stage.name).empty())
    co_return;
  try {
    auto applied = co_await deployer_->apply(
        Releases::delivery_of(*current, stage.name, deployer_->host_suffix(stage.name, team)));
    if (!applied) base::log::warn("pipelines", "putting back {}: {}", stage.name, applied.error().message);
  } catch (const base::StatusError& error) {
    base::log::warn("pipelines", "putting back {}: {}", stage.name, error.message());
  }
}

async::Task<reconcile::Outcome> reconcile_environments(platform::Host& host, client::ApiClient client,
                                                       reconcile::Name name) {
  const client::ObjectPtr team = host.caches().of(client::resources::kTeams)->get("", name.name);
  const client::ObjectPtr ns = host.caches().of(client::resources::kNamespaces)->get("", name.name);
  if (!team || !ns || base::label(*ns, "mainstay.dev/team") != name.name ||
      !base::get_string(*team, "metadata.deletionTimestamp").empty() ||
      !base::get_string(*ns, "metadata.deletionTimestamp").empty())
    co_return reconcile::Outcome::done();
  std::vector<std::string> wanted;
  for (const json::value& environment : base::get_array(*team, "spec.environments"))
    wanted.push_back(base::get_string(environment, "name"));
  if (wanted.empty()) wanted.emplace_back("dev");
  auto cache = host.caches().of(kEnvironments);
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const std::string& environment = wanted[i];
    const auto order = static_cast<std::int64_t>(i);
    const client::ObjectPtr there = cache->get(name.name, environment);
    if (there && base::get_int(*there, "spec.order") == order && !base::get_string(*there, "status.namespace").empty())
      continue;
    if (there && base::get_int(*there, "spec.order") != order) {
      co_await client.merge_patch(kEnvironments, name.name, environment,
                                  json::object{{"spec", json::object{{"order", order}}}});
    } else if (!there) {
      try {
        co_await client.create(
            kEnvironments, name.name,
            json::object{
                {"apiVersion", "mainstay.dev/v1"},
                {"kind", "Environment"},
                {"metadata", json::object{{"name", environment},
                                          {"namespace", name.name},
                                          {"labels", json::object{{"mainstay.dev/team", name.name}}},
                                          {"ownerReferences", json::array{reconcile::owner_reference(*team)}}}},
                {"spec",
                 json::object{
                     {"order", order}, {"approvals", default_approvals(environment)}, {"autoPromote", false}}}});
      } catch (const base::StatusError& error) {
        if (!error.is_already_exists()) throw;
      }
    }
    co_await client.merge_patch(
        kEnvironments, name.name, environment,
        json::object{{"status", json::object{{"namespace", fmt::format("{}-{}", name.name, environment)}}}}, "status");
  }
  for (const auto& there : cache->list(name.name)) {
    const std::string environment = base::get_string(*there, "metadata.name");
    if (std::ranges::find(wanted, environment) == wanted.end())
      co_await client.remove(kEnvironments, name.name, environment);
  }
  co_return reconcile::Outcome::done();
}

}  // namespace mainstay::pipelines
