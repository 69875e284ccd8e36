// When a rollout has ended, and why it failed.
#include <charconv>

#include "base/strings.h"
#include "capabilities/pipelines/deploy.h"

namespace mainstay::pipelines {
namespace {

// After so many crashes of a new pod the rollout is called off: it will not get better by itself.
constexpr std::int64_t kCrashes = 2;

// Of a Deployment's or ReplicaSet's template; "" where it has none.
std::string template_annotation(const json::value& object, std::string_view key) {
  const json::value* found = base::find(object, "spec.template");
  return found == nullptr ? "" : base::annotation(*found, key);
}

bool is_of(const json::value& pod, const json::value& deployment) {
  return base::label(pod, "app.kubernetes.io/name") == base::get_string(deployment, "metadata.name");
}

// Whether a pod is of what is rolled out: of this workload (a run may deploy several) and run, asked for at the same
// time, and not on its way out.
bool is_new(const json::value& pod, const json::value& deployment, std::string_view run) {
  return is_of(pod, deployment) && base::annotation(pod, "mainstay.dev/workflow-run") == run &&
         base::annotation(pod, kRequestedAt) == template_annotation(deployment, kRequestedAt) &&
         base::get_string(pod, "metadata.deletionTimestamp").empty();
}

std::string crash(const json::value& status) {
  const json::value* last = base::find(status, "lastState.terminated");
  if (last == nullptr) last = base::find(status, "state.terminated");
  if (last == nullptr) return "";
  const std::string reason = base::get_string(*last, "reason"), message = base::get_string(*last, "message");
  std::string text = reason == "OOMKilled"
                         ? "used more memory than its limit (OOMKilled)"
                         : fmt::format("ended with exit code {}", base::get_int(*last, "exitCode", -1));
  if (!message.empty()) text += ": " + message;
  return text;
}

// What is wrong with a pod of the new version, for good; "" where it may still come up.
std::string pod_trouble(const json::value& pod) {
  static constexpr std::string_view kHopeless[] = {"ErrImagePull",         "ImagePullBackOff",
                                                   "InvalidImageName",     "CreateContainerConfigError",
                                                   "CreateContainerError", "RunContainerError"};
  for (const json::value& status : base::get_array(pod, "status.containerStatuses")) {
    const std::string name = base::get_string(status, "name"),
                      waiting = base::get_string(status, "state.waiting.reason");
    if (std::ranges::find(kHopeless, waiting) != std::end(kHopeless))
      return fmt::format("container {} cannot start: {}: {}", name, waiting,
                         base::get_string(status, "state.waiting.message"));
    if (base::get_int(status, "restartCount") >= kCrashes || waiting == "CrashLoopBackOff")
      return fmt::format("container {} {}", name, crash(status));
  }
  return "";
}

const json::value* condition(const json::value& object, std::string_view type) {
  return reconcile::find_condition(object, type);
}

// Why a pod has no machine yet; "" where it has one.
std::string no_room(const json::value& pod) {
  const json::value* scheduled = condition(pod, "PodScheduled");
  if (scheduled == nullptr || base::get_string(*scheduled, "status") != "False") return "";
  return base::get_string(*scheduled, "message");
}

}  // namespace

Rollout rollout_of(const json::value& deployment, const std::vector<client::ObjectPtr>& replica_sets,
                   const std::vector<client::ObjectPtr>& pods, std::string_view run) {
  Rollout out;
  if (base::get_int(deployment, "status.observedGeneration") < base::get_int(deployment, "metadata.generation")) {
    out.message = "the deployment is being read";
    return out;
  }
  const std::int64_t wanted = base::get_int(deployment, "spec.replicas", 1),
                     updated = base::get_int(deployment, "status.updatedReplicas");
  const std::int64_t available = base::get_int(deployment, "status.availableReplicas"),
                     all = base::get_int(deployment, "status.replicas");
  if (updated >= wanted && all == updated && available >= updated) {
    out.state = Rollout::State::kDone;
    return out;
  }
  // Those of the version before count for availability, not for this.
  const auto ready = std::ranges::count_if(
      pods, [&](const auto& pod) { return is_new(*pod, deployment, run) && reconcile::condition_true(*pod, "Ready"); });
  out.message = fmt::format("{} of {} new pods are ready", std::min<std::int64_t>(ready, wanted), wanted);
  out.old_serves = std::ranges::any_of(pods, [&](const auto& pod) {
    return is_of(*pod, deployment) && !is_new(*pod, deployment, run) && reconcile::condition_true(*pod, "Ready");
  });
  const auto failed = [&](std::string why) {
    out.state = Rollout::State::kFailed;
    out.message = std::move(why);
  };
  for (const auto& pod : pods) {
    if (!is_new(*pod, deployment, run)) continue;
    if (std::string trouble = pod_trouble(*pod); !trouble.empty()) {
      out.failed_pod = base::get_string(*pod, "metadata.name");
      failed(std::move(trouble));
      return out;
    }
    if (const std::string why = no_room(*pod); !why.empty() && !out.waits_for_room) {
      out.waits_for_room = true;
      out.message += "; a new pod waits for room: " + why;
    }
  }
  const std::string uid = base::get_string(deployment, "metadata.uid");
  for (const auto& set : replica_sets) {
    if (!reconcile::is_controlled_by(*set, uid)) continue;
    if (template_annotation(*set, "mainstay.dev/workflow-run") != run ||
        template_annotation(*set, kRequestedAt) != template_annotation(deployment, kRequestedAt))
      continue;
    if (const json::value* refused = condition(*set, "ReplicaFailure");
        refused != nullptr && base::get_string(*refused, "status") == "True") {
      failed("its pods are refused: " + base::get_string(*refused, "message"));
      return out;
    }
  }
  const json::value* progressing = condition(deployment, "Progressing");
  if (progressing != nullptr && base::get_string(*progressing, "reason") == "ProgressDeadlineExceeded") {
    for (const auto& pod : pods)
      if (is_new(*pod, deployment, run) && !reconcile::condition_true(*pod, "Ready"))
        out.failed_pod = base::get_string(*pod, "metadata.name");
    failed(fmt::format("{} within {} s", out.message, base::get_int(deployment, "spec.progressDeadlineSeconds", 600)));
  }
  return out;
}

}  // namespace mainstay::pipelines
