#include "capabilities/compute/controllers/replicaset.h"

#include "base/log.h"
#include "base/status.h"
#include "capabilities/compute/controllers/claim.h"
#include "capabilities/compute/controllers/pods.h"

namespace mainstay::compute {
namespace {

using client::resources::kPods;
using client::resources::kReplicaSets;

// A pass makes at most so many changes, so that one huge set does not starve the others.
constexpr std::int64_t kBurst = 500;
// How long a pass waits for the copy to show its own writes. Past it the next pass may see an old copy, which is
// corrected by the pass after it.
constexpr std::chrono::seconds kCatchUp{2};

std::string name_of(const json::value& object) { return base::get_string(object, "metadata.name"); }

async::Task<> catch_up(std::shared_ptr<client::Cache> cache, std::string version) {
  if (!version.empty()) co_await async::with_timeout(cache->caught_up(std::move(version)), kCatchUp);
}

}  // namespace

ReplicaCounts count_replicas(const json::value& replica_set, const std::vector<client::ObjectPtr>& pods,
                             base::SystemTime now) {
  ReplicaCounts out;
  const std::int64_t min_ready = base::get_int(replica_set, "spec.minReadySeconds");
  const json::object& labels = base::get_object(replica_set, "spec.template.metadata.labels");
  for (const client::ObjectPtr& pod : pods) {
    ++out.replicas;
    const json::object& have = base::get_object(*pod, "metadata.labels");
    const bool labeled = std::all_of(labels.begin(), labels.end(), [&have](const json::key_value_pair& label) {
      const json::value* v = have.if_contains(label.key());
      return v != nullptr && *v == label.value();
    });
    if (labeled) ++out.fully_labeled;
    const auto available = pod_available_at(*pod, min_ready);
    if (!available) continue;
    ++out.ready;
    if (*available <= now) {
      ++out.available;
    } else if (!out.next_available || *available < *out.next_available) {
      out.next_available = available;
    }
  }
  return out;
}

ReplicaSetController::ReplicaSetController(platform::Host& host)
    : host_(host),
      client_(host.client("replicaset-controller")),
      sets_(host.caches().of(kReplicaSets)),
      pods_(host.caches().of(kPods)) {}

void ReplicaSetController::add_to(platform::Host& host) {
  auto self = std::make_shared<ReplicaSetController>(host);
  reconcile::ControllerOptions options;
  options.name = "replicaset-controller";
  options.primary = kReplicaSets;
  options.also.push_back({kPods, [self](const json::value& pod) {
                            std::vector<reconcile::Name> out;
                            for (auto& [ns, name] : owners_of(pod, "ReplicaSet", *self->sets_))
                              out.push_back({ns, name});
                            return out;
                          }});
  host.add_controller(std::move(options), [self](reconcile::Name name) { return self->reconcile(std::move(name)); });
}

void ReplicaSetController::record(client::ObjectPtr about, std::string type, std::string reason, std::string message) {
  // Beside the work, not in it: an Event must not delay a pod.
  host_.tasks().spawn("event", client_.event(*about, std::move(type), std::move(reason), std::move(message)));
}

async::Task<reconcile::Outcome> ReplicaSetController::reconcile(reconcile::Name name) {
  auto keep = shared_from_this();
  const client::ObjectPtr set = sets_->get(name.ns, name.name);
  if (!set) {
    deleted_.erase(name);
    co_return reconcile::Outcome::done();
  }
  const json::value* selector_json = base::find(*set, "spec.selector");
  auto selector = base::LabelSelector::from_json(selector_json != nullptr ? *selector_json : json::value());
  if (!selector || selector->empty())
    co_return reconcile::Outcome::done();  // validation refuses it; never select everything

  std::vector<client::ObjectPtr> pods = co_await claim(client_, kPods, set, *selector, pods_->list(name.ns));
  std::set<std::string>& deleted = deleted_[name];
  std::set<std::string> still_shown;
  std::erase_if(pods, [&](const client::ObjectPtr& pod) {
    const std::string uid = base::get_string(*pod, "metadata.uid");
    if (!pod_active(*pod)) return true;
    if (!deleted.contains(uid)) return false;
    still_shown.insert(uid);
    return true;
  });
  deleted = std::move(still_shown);

  std::string failure;
  const std::int64_t difference = static_cast<std::int64_t>(pods.size()) - base::get_int(*set, "spec.replicas", 1);
  if (!being_deleted(*set) && difference != 0) {
    failure = co_await manage(set, pods);
    // The copy shows our writes now: count what is there.
    pods.clear();
    const std::string uid = base::get_string(*set, "metadata.uid");
    for (const client::ObjectPtr& pod : pods_->list(name.ns)) {
      if (pod_active(*pod) && reconcile::is_controlled_by(*pod, uid) &&
          !deleted_[name].contains(base::get_string(*pod, "metadata.uid"))) {
        pods.push_back(pod);
      }
    }
  }
  const base::SystemTime now = host_.clock().now();
  const ReplicaCounts counts = count_replicas(*set, pods, now);
  co_await write_status(set, counts, failure, difference < 0 ? "FailedCreate" : "FailedDelete");
  if (!failure.empty())
    throw base::unavailable(failure);  // retried with back-off; the condition and the Event are written
  if (counts.next_available)
    co_return reconcile::Outcome::after(*counts.next_available - now + std::chrono::milliseconds(1));
  co_return reconcile::Outcome::done();
}

async::Task<std::string> ReplicaSetController::manage(client::ObjectPtr set, std::vector<client::ObjectPtr> active) {
  const std::int64_t wanted = base::get_int(*set, "spec.replicas", 1);
  const std::int64_t have = static_cast<std::int64_t>(active.size());
  if (have < wanted) co_return co_await create_pods(set, std::min(kBurst, wanted - have));
  co_return co_await delete_pods(set, std::move(active), std::min(kBurst, have - wanted));
}

// Stops at the first refusal: what refuses one replica refuses the next, and its reason is what the user needs.
async::Task<std::string> ReplicaSetController::create_pods(client::ObjectPtr set, std::int64_t count) {
  const json::value* pod_template = base::find(*set, "spec.template");
  std::string last_version, failure;
  for (std::int64_t i = 0; i < count && failure.empty(); ++i) {
    try {
      const json::value pod =
          co_await client_.create(kPods, base::get_string(*set, "metadata.namespace"),
                                  pod_from_template(*set, pod_template != nullptr ? *pod_template : json::value()));
      last_version = base::get_string(pod, "metadata.resourceVersion");
      record(set, "Normal", "SuccessfulCreate", "Created pod: " + name_of(pod));
    } catch (const base::StatusError& e) {
      failure = e.message();
    }
  }
  if (!failure.empty()) record(set, "Warning", "FailedCreate", "Error creating: " + failure);
  co_await catch_up(pods_, last_version);
  co_return failure;
}

async::Task<std::string> ReplicaSetController::delete_pods(client::ObjectPtr set, std::vector<client::ObjectPtr> active,
                                                           std::int64_t count) {
  const reconcile::Name key{base::get_string(*set, "metadata.namespace"), name_of(*set)};
  std::sort(active.begin(), active.end(),
            [](const client::ObjectPtr& a, const client::ObjectPtr& b) { return dies_before(*a, *b); });
  active.resize(static_cast<std::size_t>(count));
  for (const client::ObjectPtr& pod : active) {
    deleted_[key].insert(base::get_string(*pod, "metadata.uid"));
    std::string failure;
    try {
      co_await client_.remove(kPods, key.ns, name_of(*pod));
    } catch (const base::StatusError& e) {
      failure = e.message();
    }
    if (!failure.empty()) {
      deleted_[key].erase(base::get_string(*pod, "metadata.uid"));
      record(set, "Warning", "FailedDelete", fmt::format("Error deleting {}: {}", name_of(*pod), failure));
      co_return failure;
    }
    record(set, "Normal", "SuccessfulDelete", "Deleted pod: " + name_of(*pod));
  }
  co_return "";
}

async::Task<> ReplicaSetController::write_status(client::ObjectPtr set, ReplicaCounts counts, std::string failure,
                                                 std::string failure_reason) {
  reconcile::Pass pass(client_, kReplicaSets, set);
  json::value& object = pass.object();
  base::set(object, "status.replicas", counts.replicas);
  base::set(object, "status.fullyLabeledReplicas", counts.fully_labeled);
  base::set(object, "status.readyReplicas", counts.ready);
  base::set(object, "status.availableReplicas", counts.available);
  base::set(object, "status.observedGeneration", base::get_int(object, "metadata.generation"));
  if (!failure.empty()) {
    pass.set_condition("ReplicaFailure", true, failure_reason, failure, host_.clock());
  } else if (reconcile::find_condition(object, "ReplicaFailure") != nullptr) {
    json::array kept;
    for (const json::value& condition : base::get_array(object, "status.conditions")) {
      if (base::get_string(condition, "type") != "ReplicaFailure") kept.push_back(condition);
    }
    base::set(object, "status.conditions", std::move(kept));
  }
  co_await pass.commit();
}

}  // namespace mainstay::compute
