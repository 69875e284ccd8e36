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
      outcome = co_await look_after_deploy(*object, *entry);
    } else if (where == state::kAwaitingApproval && approved(*object, stage)) {
      co_await releases_->change(name, [&](json::value& release) {
        json::object& mine = make_environment(release, stage.name);
        if (text_in(mine, "state") == state::kAwaitingApproval) mine["state"] = state::kPending;
      });
    } else if (where == state::kPending || where == state::kDeploying) {
      co_await deliver(*object, stage.name);
    }
  }
  co_return outcome;
}

async::Task<> ReleaseReconciler::follow(json::value release, Stage next) {
  const reconcile::Name name{base::get_string(release, "metadata.namespace"),
                             base::get_string(release, "metadata.name")};
  co_await releases_->change(name, [&](json::value& object) {
    if (environment_of(object, next.name) != nullptr) return;
    const bool free = approved(object, next);
    json::object& entry = make_environment(object, next.name);
    entry["state"] = free ? state::kPending : state::kAwaitingApproval;
    entry["action"] = "promote";
    entry["requestedBy"] = "system:mainstay:pipelines";
    entry["requestedAt"] = releases_->now();
  });
}

async::Task<reconcile::Outcome> ReleaseReconciler::look_after_deploy(json::value release, json::object entry) {
  const auto since = base::parse_rfc3339(text_in(entry, "requestedAt"));
  const auto age = since ? host_.clock().now() - *since : std::chrono::system_clock::duration(kDeployLimit);
  if (age < kDeployLimit) co_return reconcile::Outcome::after(kDeployLimit - age + std::chrono::seconds(1));
  co_await releases_->settle(
      {base::get_string(release, "metadata.namespace"), base::get_string(release, "metadata.name")},
      text_in(entry, "name"), "", "the run ended before the rollout did");
  co_return reconcile::Outcome::done();
}

async::Task<> ReleaseReconciler::deliver(json::value release, std::string environment) {
  const reconcile::Name name{base::get_string(release, "metadata.namespace"),
                             base::get_string(release, "metadata.name")};
  if (std::string newer = overtaken_by(releases_->all(name.ns), release, environment); !newer.empty()) {
    co_await releases_->change(name, [&](json::value& object) {
      json::object& entry = make_environment(object, environment);
      const std::string where = text_in(entry, "state");
      if (where != state::kPending && where != state::kDeploying) return;
      entry["state"] = state::kSuperseded;
      entry["message"] = fmt::format("{} was asked for later", newer);
    });
    co_return;
  }
  co_await releases_->change(name, [&](json::value& object) {
    json::object& entry = make_environment(object, environment);
    if (text_in(entry, "state") == state::kPending) entry["state"] = state::kDeploying;
  });
  const Delivery delivery = Releases::delivery_of(release, environment, deployer_->host_suffix(environment, name.ns));
  base::Result<Deployer::Outcome> outcome = base::fail(base::ErrorCode::kInternal, "");
  try {
    outcome = co_await deployer_->deliver(delivery, nullptr);
  } catch (const base::StatusError& error) {
    if (error.code() >= 500 || error.is_conflict()) throw;  // worth trying again
    outcome = base::fail(base::ErrorCode::kInvalid, error.message());
  }
  co_await releases_->settle(name, environment, outcome ? outcome->url : "", outcome ? "" : outcome.error().message);
  if (outcome) {
    base::log::info("pipelines", "{}/{} is deployed in {}", name.ns, name.name, environment);
    co_return;
  }
  base::log::warn("pipelines", "{}/{} in {}: {}", name.ns, name.name, environment, outcome.error().message);
  co_await host_.client("pipelines")
      .event(release, "Warning", "DeploymentFailed", fmt::format("{}: {}", environment, outcome.error().message));
  co_await put_back(release, environment);
}

// The old pods have served all along (nothing is taken away before the new is ready); this makes the Deployment say so.
async::Task<> ReleaseReconciler::put_back(json::value release, std::string environment) {
  const std::string team = base::get_string(release, "metadata.namespace");
  const auto current = current_in(releases_->all(team), base::get_string(release, "spec.workload"), environment);
  if (!current || base::get_string(*current, "metadata.name") == base::get_string(release, "metadata.name")) co_return;
  auto applied = co_await deployer_->apply(
      Releases::delivery_of(*current, environment, deployer_->host_suffix(environment, team)));
  if (!applied) base::log::warn("pipelines", "putting back {}: {}", environment, applied.error().message);
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
      const bool production = environment == "prod" || environment == "production" || environment == "live";
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
                {"spec", json::object{{"order", order}, {"approvals", production ? 1 : 0}, {"autoPromote", false}}}});
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
