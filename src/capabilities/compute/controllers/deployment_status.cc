#include "capabilities/compute/controllers/deployment_status.h"

#include <fmt/core.h>

#include "reconcile/controller.h"

namespace mainstay::compute {
namespace {

// An absent or "infinite" deadline (the largest int32, by which kubectl and others say never).
constexpr std::int64_t kNever = 2147483647;

void write_counts(json::value& deployment, const DeploymentCounts& c) {
  json::value* status = base::find(deployment, "status");
  if (status == nullptr || !status->is_object()) {
    base::set(deployment, "status", json::object{});
    status = base::find(deployment, "status");
  }
  json::object& s = status->as_object();
  const auto put = [&s](std::string_view key, std::int64_t n) {  // upstream leaves zeros out
    if (n != 0) {
      s[key] = n;
    } else {
      s.erase(key);
    }
  };
  put("replicas", c.replicas);
  put("updatedReplicas", c.updated);
  put("readyReplicas", c.ready);
  put("availableReplicas", c.available);
  put("unavailableReplicas", c.unavailable);
  s["observedGeneration"] = base::get_int(deployment, "metadata.generation");
}

DeploymentCounts counts_before(const json::value& deployment) {
  return {base::get_int(deployment, "status.replicas"), base::get_int(deployment, "status.updatedReplicas"),
          base::get_int(deployment, "status.readyReplicas"), base::get_int(deployment, "status.availableReplicas"),
          base::get_int(deployment, "status.unavailableReplicas")};
}

std::string subject(const json::value& deployment, const client::ObjectPtr& newest) {
  if (newest) return fmt::format("ReplicaSet \"{}\"", base::get_string(*newest, "metadata.name"));
  return fmt::format("Deployment \"{}\"", base::get_string(deployment, "metadata.name"));
}

std::optional<base::SystemTime> write_progress(json::value& deployment, const DeploymentCounts& before,
                                               const DeploymentCounts& now_counts, const client::ObjectPtr& newest,
                                               base::SystemTime now) {
  const std::int64_t deadline = base::get_int(deployment, "spec.progressDeadlineSeconds", 600);
  const bool paused = base::get_bool(deployment, "spec.paused");
  if (deadline >= kNever) {
    remove_condition(deployment, "Progressing");
    return std::nullopt;
  }
  const std::int64_t wanted = base::get_int(deployment, "spec.replicas", 1);
  const json::value* current = reconcile::find_condition(deployment, "Progressing");
  const std::string reason = current != nullptr ? base::get_string(*current, "reason") : "";
  if (paused || (now_counts.replicas == now_counts.updated && reason == "NewReplicaSetAvailable")) return std::nullopt;
  if (newest && rollout_complete(now_counts, wanted)) {
    set_deployment_condition(deployment, "Progressing", "True", "NewReplicaSetAvailable",
                             subject(deployment, newest) + " has successfully progressed.", now);
    return std::nullopt;
  }
  const bool progressed = now_counts.updated > before.updated ||
                          now_counts.replicas - now_counts.updated < before.replicas - before.updated ||
                          now_counts.ready > before.ready || now_counts.available > before.available;
  if (progressed) {
    remove_condition(deployment, "Progressing");  // so that lastUpdateTime, which the deadline counts from, is now
    set_deployment_condition(deployment, "Progressing", "True", "ReplicaSetUpdated",
                             subject(deployment, newest) + " is progressing.", now);
    return now + std::chrono::seconds(deadline);
  }
  current = reconcile::find_condition(deployment, "Progressing");
  if (current == nullptr || reason == "ProgressDeadlineExceeded" || reason == "NewReplicaSetAvailable")
    return std::nullopt;
  auto updated = base::parse_rfc3339(base::get_string(*current, "lastUpdateTime"));
  if (!updated) return std::nullopt;
  const base::SystemTime due = *updated + std::chrono::seconds(deadline);
  if (due > now) return due;
  set_deployment_condition(deployment, "Progressing", "False", "ProgressDeadlineExceeded",
                           subject(deployment, newest) + " has timed out progressing.", now);
  return std::nullopt;
}

// What stops a set from making pods stands on the Deployment, where its user looks.
void carry_failure(json::value& deployment, const std::vector<client::ObjectPtr>& sets, const client::ObjectPtr& newest,
                   base::SystemTime now) {
  const json::value* failure = newest ? reconcile::find_condition(*newest, "ReplicaFailure") : nullptr;
  for (const client::ObjectPtr& set : sets) {
    if (failure == nullptr) failure = reconcile::find_condition(*set, "ReplicaFailure");
  }
  if (failure == nullptr) {
    remove_condition(deployment, "ReplicaFailure");
  } else {
    set_deployment_condition(deployment, "ReplicaFailure", base::get_string(*failure, "status"),
                             base::get_string(*failure, "reason"), base::get_string(*failure, "message"), now);
  }
}

}  // namespace

DeploymentCounts count_deployment(const std::vector<client::ObjectPtr>& sets, const client::ObjectPtr& newest,
                                  std::int64_t wanted) {
  DeploymentCounts out;
  std::int64_t asked = 0;
  for (const client::ObjectPtr& set : sets) {
    out.replicas += base::get_int(*set, "status.replicas");
    out.ready += base::get_int(*set, "status.readyReplicas");
    out.available += base::get_int(*set, "status.availableReplicas");
    asked += base::get_int(*set, "spec.replicas", 1);
  }
  if (newest) out.updated = base::get_int(*newest, "status.replicas");
  out.unavailable = std::max<std::int64_t>(0, std::max(asked, wanted) - out.available);
  return out;
}

bool rollout_complete(const DeploymentCounts& counts, std::int64_t wanted) {
  return counts.updated == wanted && counts.replicas == wanted && counts.available == wanted;
}

void set_deployment_condition(json::value& deployment, std::string_view type, std::string_view status,
                              std::string_view reason, std::string_view message, base::SystemTime now) {
  const std::string time = base::rfc3339(now);
  json::object fresh{{"type", type},       {"status", status},       {"reason", reason},
                     {"message", message}, {"lastUpdateTime", time}, {"lastTransitionTime", time}};
  json::array out;
  bool found = false;
  for (const json::value& condition : base::get_array(deployment, "status.conditions")) {
    if (base::get_string(condition, "type") != type) {
      out.push_back(condition);
      continue;
    }
    found = true;
    if (base::get_string(condition, "status") == status) {
      if (base::get_string(condition, "reason") == reason && base::get_string(condition, "message") == message) return;
      fresh["lastTransitionTime"] = base::get_string(condition, "lastTransitionTime", time);
    }
    out.push_back(fresh);
  }
  if (!found) out.push_back(fresh);
  base::set(deployment, "status.conditions", std::move(out));
}

void remove_condition(json::value& object, std::string_view type) {
  if (reconcile::find_condition(object, type) == nullptr) return;
  json::array kept;
  for (const json::value& condition : base::get_array(object, "status.conditions")) {
    if (base::get_string(condition, "type") != type) kept.push_back(condition);
  }
  base::set(object, "status.conditions", std::move(kept));
}

std::optional<base::SystemTime> write_deployment_status(json::value& deployment,
                                                        const std::vector<client::ObjectPtr>& sets,
                                                        const client::ObjectPtr& newest, std::int64_t max_unavailable,
                                                        base::SystemTime now) {
  const std::int64_t wanted = base::get_int(deployment, "spec.replicas", 1);
  const DeploymentCounts before = counts_before(deployment);
  const DeploymentCounts counts = count_deployment(sets, newest, wanted);
  write_counts(deployment, counts);
  if (counts.available >= wanted - max_unavailable) {
    set_deployment_condition(deployment, "Available", "True", "MinimumReplicasAvailable",
                             "Deployment has minimum availability.", now);
  } else {
    set_deployment_condition(deployment, "Available", "False", "MinimumReplicasUnavailable",
                             "Deployment does not have minimum availability.", now);
  }
  carry_failure(deployment, sets, newest, now);
  return write_progress(deployment, before, counts, newest, now);
}

}  // namespace mainstay::compute
