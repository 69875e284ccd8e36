#include "capabilities/compute/controllers/deployment.h"

#include <algorithm>
#include <charconv>

#include "base/status.h"
#include "capabilities/compute/controllers/claim.h"
#include "capabilities/compute/controllers/deployment_status.h"
#include "capabilities/compute/controllers/pods.h"

namespace mainstay::compute {
namespace {

using client::ObjectPtr;
using client::resources::kDeployments;
using client::resources::kPods;
using client::resources::kReplicaSets;

constexpr std::string_view kHashLabel = "pod-template-hash";
constexpr std::string_view kRevision = "deployment.kubernetes.io/revision";
constexpr std::string_view kRevisionHistory = "deployment.kubernetes.io/revision-history";
constexpr std::string_view kDesired = "deployment.kubernetes.io/desired-replicas";
constexpr std::string_view kMaximum = "deployment.kubernetes.io/max-replicas";

std::string name_of(const json::value& object) { return base::get_string(object, "metadata.name"); }
std::string ns_of(const json::value& object) { return base::get_string(object, "metadata.namespace"); }

std::int64_t number(const std::string& text) {
  std::int64_t n = 0;
  std::from_chars(text.data(), text.data() + text.size(), n);
  return n;
}
std::int64_t revision_of(const json::value& set) { return number(base::annotation(set, kRevision)); }

ObjectPtr shared(json::value object) { return std::make_shared<const json::value>(std::move(object)); }

// A Deployment's annotations go to its ReplicaSet, so that rollback and history know them; but for bookkeeping.
json::object annotations_for_set(const json::value& deployment) {
  json::object out;
  for (const auto& [key, value] : base::get_object(deployment, "metadata.annotations")) {
    if (key == "kubectl.kubernetes.io/last-applied-configuration" ||
        std::string_view(key).starts_with("deployment.kubernetes.io/") || key == "deprecated.deployment.rollback.to") {
      continue;
    }
    out[key] = value;
  }
  return out;
}

json::value replica_set_for(const json::value& deployment, const std::string& hash, const std::string& revision,
                            std::int64_t replicas, std::int64_t wanted, std::int64_t surge) {
  json::value pod_template = *base::find(deployment, "spec.template");
  base::set(pod_template, {"metadata", "labels", kHashLabel}, json::string(hash));
  json::value selector = *base::find(deployment, "spec.selector");
  base::set(selector, {"matchLabels", kHashLabel}, json::string(hash));
  json::object annotations = annotations_for_set(deployment);
  annotations[kRevision] = revision;
  annotations[kDesired] = std::to_string(wanted);
  annotations[kMaximum] = std::to_string(wanted + surge);
  return json::object{
      {"apiVersion", "apps/v1"},
      {"kind", "ReplicaSet"},
      {"metadata", json::object{{"name", name_of(deployment) + "-" + hash},
                                {"namespace", ns_of(deployment)},
                                {"labels", base::get_object(pod_template, "metadata.labels")},
                                {"annotations", std::move(annotations)},
                                {"ownerReferences", json::array{reconcile::owner_reference(deployment)}}}},
      {"spec", json::object{{"replicas", replicas},
                            {"minReadySeconds", base::get_int(deployment, "spec.minReadySeconds")},
                            {"selector", std::move(selector)},
                            {"template", std::move(pod_template)}}}};
}

}  // namespace

DeploymentController::DeploymentController(platform::Host& host)
    : host_(host),
      client_(host.client("deployment-controller")),
      deployments_(host.caches().of(kDeployments)),
      sets_(host.caches().of(kReplicaSets)),
      pods_(host.caches().of(kPods)) {}

void DeploymentController::add_to(platform::Host& host) {
  auto self = std::make_shared<DeploymentController>(host);
  reconcile::ControllerOptions options;
  options.name = "deployment-controller";
  options.primary = kDeployments;
  options.also.push_back({kReplicaSets, [self](const json::value& set) {
                            std::vector<reconcile::Name> out;
                            for (auto& [ns, name] : owners_of(set, "Deployment", *self->deployments_))
                              out.push_back({ns, name});
                            return out;
                          }});
  // Recreate waits for the last old pod to be gone, of which no ReplicaSet tells.
  options.also.push_back({kPods, [self](const json::value& pod) {
                            std::vector<reconcile::Name> out;
                            const json::value* owner = controller_of(pod);
                            if (owner == nullptr || base::get_string(*owner, "kind") != "ReplicaSet") return out;
                            const ObjectPtr set = self->sets_->get(ns_of(pod), base::get_string(*owner, "name"));
                            const json::value* top = set ? controller_of(*set) : nullptr;
                            if (top == nullptr || base::get_string(*top, "kind") != "Deployment") return out;
                            const ObjectPtr deployment =
                                self->deployments_->get(ns_of(pod), base::get_string(*top, "name"));
                            if (deployment && base::get_string(*deployment, "spec.strategy.type") == "Recreate")
                              out.push_back({ns_of(pod), name_of(*deployment)});
                            return out;
                          }});
  host.add_controller(std::move(options), [self](reconcile::Name name) { return self->reconcile(std::move(name)); });
}

void DeploymentController::record(ObjectPtr about, std::string type, std::string reason, std::string message) {
  host_.tasks().spawn("event", client_.event(*about, std::move(type), std::move(reason), std::move(message)));
}

async::Task<reconcile::Outcome> DeploymentController::reconcile(reconcile::Name name) {
  auto keep = shared_from_this();
  const ObjectPtr deployment = deployments_->get(name.ns, name.name);
  if (!deployment) co_return reconcile::Outcome::done();
  const json::value* selector_json = base::find(*deployment, "spec.selector");
  auto selector = base::LabelSelector::from_json(selector_json != nullptr ? *selector_json : json::value());
  if (!selector || selector->empty()) {
    record(deployment, "Warning", "SelectingAll",
           "spec.selector selects nothing or everything: give it at least one label");
    co_return reconcile::Outcome::done();
  }
  auto limits = rollout_limits(*deployment);
  if (!limits) {
    record(deployment, "Warning", "InvalidStrategy", limits.error().message);
    co_return reconcile::Outcome::done();
  }
  auto r = std::make_shared<Rollout>(reconcile::Pass(client_, kDeployments, deployment));
  r->deployment = deployment;
  r->limits = *limits;
  r->wanted = base::get_int(*deployment, "spec.replicas", 1);
  r->sets = co_await claim(client_, kReplicaSets, deployment, *selector, sets_->list(name.ns));
  find_newest(r);
  if (!being_deleted(*deployment)) {
    note_pause(r);
    co_await advance(r);
  }
  const base::SystemTime now = host_.clock().now();
  const auto due = write_deployment_status(r->pass.object(), r->sets, r->newest, r->limits.unavailable, now);
  co_await r->pass.commit();
  if (!being_deleted(*deployment)) co_await clean_up(r);
  if (due) co_return reconcile::Outcome::after(*due - now + std::chrono::seconds(1));
  co_return reconcile::Outcome::done();
}

void DeploymentController::find_newest(RolloutPtr r) const {
  const json::value* wanted = base::find(*r->deployment, "spec.template");
  r->newest = nullptr;
  for (const ObjectPtr& set : r->sets) {
    const json::value* have = base::find(*set, "spec.template");
    if (wanted == nullptr || have == nullptr || being_deleted(*set) || !same_template(*wanted, *have)) continue;
    // Two can match after a crash between numbering and creating; the older one is it, as the rest of the pods are its.
    if (!r->newest || created_at(*set) < created_at(*r->newest)) r->newest = set;
  }
}

void DeploymentController::note_pause(RolloutPtr r) const {
  json::value& object = r->pass.object();
  const json::value* current = reconcile::find_condition(object, "Progressing");
  const std::string reason = current != nullptr ? base::get_string(*current, "reason") : "";
  const bool paused = base::get_bool(object, "spec.paused");
  if (reason == "ProgressDeadlineExceeded") return;
  if (paused && reason != "DeploymentPaused") {
    set_deployment_condition(object, "Progressing", "Unknown", "DeploymentPaused", "Deployment is paused",
                             host_.clock().now());
  } else if (!paused && reason == "DeploymentPaused") {
    set_deployment_condition(object, "Progressing", "Unknown", "DeploymentResumed", "Deployment is resumed",
                             host_.clock().now());
  }
}

// Moves the sets towards the template and the count.
async::Task<> DeploymentController::advance(RolloutPtr r) {
  const bool rolling = base::get_string(*r->deployment, "spec.strategy.type", "RollingUpdate") != "Recreate";
  const bool paused = base::get_bool(*r->deployment, "spec.paused");
  const bool resized = std::any_of(r->sets.begin(), r->sets.end(), [&r](const ObjectPtr& set) {
    const std::string noted = base::annotation(*set, kDesired);
    return base::get_int(*set, "spec.replicas", 1) > 0 && !noted.empty() && number(noted) != r->wanted;
  });
  if (paused || resized) {
    std::vector<SetReplicas> sets = replicas_of(*r);
    rescale(r->wanted, r->limits, rolling, sets);
    co_await apply_replicas(r, std::move(sets));
    if (paused) co_return;
  }
  if (!rolling) {
    co_await recreate(r);
    co_return;
  }
  co_await ensure_newest(r);
  std::vector<SetReplicas> sets = replicas_of(*r);
  roll(r->wanted, r->limits, sets);
  co_await apply_replicas(r, std::move(sets));
}

async::Task<> DeploymentController::recreate(RolloutPtr r) {
  std::vector<SetReplicas> sets = replicas_of(*r);
  for (SetReplicas& set : sets) {
    if (!set.is_new) set.replicas = 0;
  }
  co_await apply_replicas(r, std::move(sets));
  if (old_pods_remain(*r)) co_return;  // the last one's end brings us back
  co_await ensure_newest(r);
  sets = replicas_of(*r);
  for (SetReplicas& set : sets) {
    if (set.is_new) set.replicas = r->wanted;
  }
  co_await apply_replicas(r, std::move(sets));
}

bool DeploymentController::old_pods_remain(const Rollout& r) const {
  const std::string new_uid = r.newest ? base::get_string(*r.newest, "metadata.uid") : "";
  for (const ObjectPtr& pod : pods_->list(ns_of(*r.deployment))) {
    const json::value* owner = controller_of(*pod);
    if (owner == nullptr || pod_finished(*pod)) continue;
    const std::string uid = base::get_string(*owner, "uid");
    if (uid == new_uid) continue;
    for (const ObjectPtr& set : r.sets) {
      if (base::get_string(*set, "metadata.uid") == uid) return true;
    }
  }
  return false;
}

std::vector<SetReplicas> DeploymentController::replicas_of(const Rollout& r) const {
  std::vector<SetReplicas> out;
  for (const ObjectPtr& set : r.sets) {
    SetReplicas s;
    s.name = name_of(*set);
    s.replicas = base::get_int(*set, "spec.replicas", 1);
    s.available = base::get_int(*set, "status.availableReplicas");
    s.noted_maximum = number(base::annotation(*set, kMaximum));
    s.created = created_at(*set);
    s.is_new = r.newest && name_of(*r.newest) == s.name;
    out.push_back(std::move(s));
  }
  return out;
}

async::Task<> DeploymentController::apply_replicas(RolloutPtr r, std::vector<SetReplicas> sets) {
  std::string last_version;
  for (const SetReplicas& wanted : sets) {
    const auto it = std::find_if(r->sets.begin(), r->sets.end(),
                                 [&wanted](const ObjectPtr& s) { return name_of(*s) == wanted.name; });
    if (it == r->sets.end()) continue;
    const ObjectPtr set = *it;
    const std::int64_t before = base::get_int(*set, "spec.replicas", 1);
    const std::string desired = std::to_string(r->wanted), maximum = std::to_string(r->wanted + r->limits.surge);
    const bool noted = wanted.replicas == 0 ||
                       (base::annotation(*set, kDesired) == desired && base::annotation(*set, kMaximum) == maximum);
    if (before == wanted.replicas && noted) continue;
    json::value patch = json::object{
        {"metadata", json::object{{"uid", base::get_string(*set, "metadata.uid")},
                                  {"annotations", json::object{{kDesired, desired}, {kMaximum, maximum}}}}},
        {"spec", json::object{{"replicas", wanted.replicas}}}};
    const ObjectPtr written =
        shared(co_await client_.merge_patch(kReplicaSets, ns_of(*set), wanted.name, std::move(patch)));
    last_version = base::get_string(*written, "metadata.resourceVersion");
    std::replace(r->sets.begin(), r->sets.end(), set, written);
    if (r->newest == set) r->newest = written;
    if (before != wanted.replicas) {
      record(r->deployment, "Normal", "ScalingReplicaSet",
             fmt::format("Scaled {} replica set {} from {} to {}", before < wanted.replicas ? "up" : "down",
                         wanted.name, before, wanted.replicas));
    }
  }
  if (!last_version.empty()) co_await async::with_timeout(sets_->caught_up(last_version), std::chrono::seconds(2));
}

async::Task<> DeploymentController::ensure_newest(RolloutPtr r) {
  std::int64_t highest = 0;
  for (const ObjectPtr& set : r->sets) {
    if (set != r->newest) highest = std::max(highest, revision_of(*set));
  }
  std::string revision = std::to_string(highest + 1);
  if (!r->newest) {
    co_await create_newest(r, revision);
  } else if (revision_of(*r->newest) < highest + 1) {
    co_await number_newest(r, revision);
  } else {
    revision = base::annotation(*r->newest, kRevision);
  }
  const std::int64_t min_ready = base::get_int(*r->deployment, "spec.minReadySeconds");
  if (base::get_int(*r->newest, "spec.minReadySeconds") != min_ready) {
    const ObjectPtr before = r->newest;
    json::value patch = json::object{{"spec", json::object{{"minReadySeconds", min_ready}}}};
    r->newest = shared(co_await client_.merge_patch(kReplicaSets, ns_of(*before), name_of(*before), std::move(patch)));
    std::replace(r->sets.begin(), r->sets.end(), before, r->newest);
  }
  if (base::annotation(r->pass.object(), kRevision) != revision)
    base::set(r->pass.object(), {"metadata", "annotations", kRevision}, json::string(revision));
  if (reconcile::find_condition(r->pass.object(), "Progressing") == nullptr &&
      base::get_int(*r->deployment, "spec.progressDeadlineSeconds", 600) < 2147483647) {
    set_deployment_condition(r->pass.object(), "Progressing", "True", "FoundNewReplicaSet",
                             fmt::format("Found new replica set \"{}\"", name_of(*r->newest)), host_.clock().now());
  }
}

async::Task<> DeploymentController::create_newest(RolloutPtr r, std::string revision) {
  json::value& object = r->pass.object();
  const std::int64_t collisions = base::get_int(object, "status.collisionCount");
  const std::string hash = template_hash(*base::find(*r->deployment, "spec.template"), collisions);
  std::vector<SetReplicas> sets = replicas_of(*r);
  SetReplicas added;
  added.is_new = true;
  sets.push_back(added);
  const bool rolling = base::get_string(*r->deployment, "spec.strategy.type", "RollingUpdate") != "Recreate";
  if (rolling) {
    roll(r->wanted, r->limits, sets);
  } else {
    sets.back().replicas = r->wanted;
  }
  const std::int64_t replicas = sets.back().replicas;
  json::value wanted = replica_set_for(*r->deployment, hash, revision, replicas, r->wanted, r->limits.surge);
  const std::string name = name_of(wanted);
  ObjectPtr created;
  bool taken = false;
  try {
    created = shared(co_await client_.create(kReplicaSets, ns_of(*r->deployment), std::move(wanted)));
  } catch (const base::StatusError& e) {
    if (!e.is_already_exists()) {
      set_deployment_condition(object, "Progressing", "False", "ReplicaSetCreateError",
                               fmt::format("Failed to create new replica set \"{}\": {}", name, e.message()),
                               host_.clock().now());
      record(r->deployment, "Warning", "ReplicaSetCreateError", e.message());
      throw;
    }
    taken = true;
  }
  if (taken) {
    // Ours from a pass whose answer was lost, or a collision of hashes: then count it and take the next name.
    auto present = co_await client_.find(kReplicaSets, ns_of(*r->deployment), name);
    if (!present) throw base::unavailable("the replica set went away meanwhile; trying again");
    const bool ours = reconcile::is_controlled_by(*present, base::get_string(*r->deployment, "metadata.uid"));
    if (!ours || !same_template(*base::find(*present, "spec.template"), *base::find(*r->deployment, "spec.template"))) {
      base::set(object, "status.collisionCount", collisions + 1);
      co_await r->pass.commit();
      throw base::unavailable(fmt::format("replica set {} is somebody else's; trying another name", name));
    }
    created = shared(std::move(*present));
  }
  r->newest = created;
  r->sets.push_back(created);
  if (!taken)
    record(r->deployment, "Normal", "ScalingReplicaSet",
           fmt::format("Scaled up replica set {} from 0 to {}", name, replicas));
  set_deployment_condition(object, "Progressing", "True", "NewReplicaSetCreated",
                           fmt::format("Created new replica set \"{}\"", name), host_.clock().now());
}

// A rollback: the old set with this template becomes the newest, under a new number.
async::Task<> DeploymentController::number_newest(RolloutPtr r, std::string revision) {
  const ObjectPtr set = r->newest;
  const std::string old = base::annotation(*set, kRevision);
  json::object annotations = annotations_for_set(*r->deployment);
  annotations[kRevision] = revision;
  if (!old.empty()) {
    const std::string history = base::annotation(*set, kRevisionHistory);
    annotations[kRevisionHistory] = history.empty() ? old : history + "," + old;
  }
  json::value patch = json::object{{"metadata", json::object{{"annotations", std::move(annotations)}}}};
  const ObjectPtr written =
      shared(co_await client_.merge_patch(kReplicaSets, ns_of(*set), name_of(*set), std::move(patch)));
  std::replace(r->sets.begin(), r->sets.end(), set, written);
  r->newest = written;
  set_deployment_condition(r->pass.object(), "Progressing", "True", "FoundNewReplicaSet",
                           fmt::format("Found new replica set \"{}\"", name_of(*written)), host_.clock().now());
}

// Keeps revisionHistoryLimit empty old sets, to roll back to.
async::Task<> DeploymentController::clean_up(RolloutPtr r) {
  const std::int64_t limit = base::get_int(*r->deployment, "spec.revisionHistoryLimit", 10);
  std::vector<ObjectPtr> empty;
  for (const ObjectPtr& set : r->sets) {
    if (set == r->newest || being_deleted(*set) || base::get_int(*set, "spec.replicas", 1) != 0 ||
        base::get_int(*set, "status.replicas") != 0 ||
        base::get_int(*set, "metadata.generation") > base::get_int(*set, "status.observedGeneration")) {
      continue;
    }
    empty.push_back(set);
  }
  if (static_cast<std::int64_t>(empty.size()) <= limit) co_return;
  std::sort(empty.begin(), empty.end(), [](const ObjectPtr& a, const ObjectPtr& b) {
    return std::pair(revision_of(*a), created_at(*a)) < std::pair(revision_of(*b), created_at(*b));
  });
  empty.resize(empty.size() - static_cast<std::size_t>(std::max<std::int64_t>(0, limit)));
  for (const ObjectPtr& set : empty) co_await client_.remove(kReplicaSets, ns_of(*set), name_of(*set));
}

}  // namespace mainstay::compute
