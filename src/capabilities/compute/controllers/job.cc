#include "capabilities/compute/controllers/job.h"

#include <algorithm>

#include "base/status.h"
#include "capabilities/compute/controllers/pods.h"

namespace mainstay::compute {
namespace {

using client::resources::kPods;
const client::Resource kJobs{"batch", "v1", "jobs", true, "Job"};

constexpr std::int64_t kBurst = 100;  // pods a pass, so that one huge Job does not starve the others
constexpr std::chrono::seconds kCatchUp{2};
// After a failure the next try waits, twice as long each time.
constexpr std::chrono::seconds kFirstPause{10}, kLongestPause{360};

std::string name_of(const json::value& object) { return base::get_string(object, "metadata.name"); }

bool has_ended(const json::value& job) {
  return reconcile::condition_true(job, "Complete") || reconcile::condition_true(job, "Failed");
}

base::SystemTime ended_at(const json::value& pod) {
  base::SystemTime latest = created_at(pod);
  for (const json::value& container : base::get_array(pod, "status.containerStatuses")) {
    const auto at = base::parse_rfc3339(base::get_string(container, "state.terminated.finishedAt"));
    if (at) latest = std::max(latest, *at);
  }
  return latest;
}

std::int64_t restarts(const json::value& pod) {
  std::int64_t sum = 0;
  for (const json::value& container : base::get_array(pod, "status.containerStatuses"))
    sum += base::get_int(container, "restartCount");
  return sum;
}

JobDecision failed(JobDecision decision, std::string reason, std::string message) {
  decision.stop = true;
  decision.ended = "Failed";
  decision.reason = std::move(reason);
  decision.message = std::move(message);
  return decision;
}

}  // namespace

JobDecision decide_job(const json::value& job, const std::vector<client::ObjectPtr>& pods, base::SystemTime now) {
  JobDecision out;
  std::int64_t failures = 0;
  base::SystemTime last_failure{};
  const std::string policy = base::get_string(job, "spec.template.spec.restartPolicy", "Always");
  for (const client::ObjectPtr& pod : pods) {
    const std::string phase = base::get_string(*pod, "status.phase");
    if (phase == "Succeeded") {
      ++out.succeeded;
    } else if (phase == "Failed") {
      ++out.failed;
      last_failure = std::max(last_failure, ended_at(*pod));
    } else if (!being_deleted(*pod)) {
      ++out.active;
      if (pod_ready(*pod)) ++out.ready;
      if (policy == "OnFailure") failures += restarts(*pod);
    }
  }
  out.succeeded = std::max(out.succeeded, base::get_int(job, "status.succeeded"));
  out.failed = std::max(out.failed, base::get_int(job, "status.failed"));
  failures += out.failed;
  if (policy == "Always")
    return failed(out, "InvalidTemplate", "spec.template.spec.restartPolicy of a Job is Never or OnFailure: set it");
  const std::int64_t completions = base::get_int(job, "spec.completions", 1);
  if (out.succeeded >= completions) {
    out.stop = true;
    out.ended = "Complete";
    out.reason = "CompletionsReached";
    out.message = fmt::format("{} of {} pods ended well", out.succeeded, completions);
    return out;
  }
  if (const std::int64_t limit = base::get_int(job, "spec.backoffLimit", 6); failures > limit)
    return failed(out, "BackoffLimitExceeded",
                  fmt::format("failed {} times, more than backoffLimit {}", failures, limit));
  const auto started = base::parse_rfc3339(base::get_string(job, "status.startTime"));
  if (base::get_bool(job, "spec.suspend")) {
    out.stop = true;
    return out;
  }
  if (const std::int64_t seconds = base::get_int(job, "spec.activeDeadlineSeconds"); seconds > 0) {
    const base::SystemTime deadline =
        (started ? *started : now) + std::chrono::seconds(std::min<std::int64_t>(seconds, INT32_MAX));
    if (now >= deadline)
      return failed(out, "DeadlineExceeded", fmt::format("not done within activeDeadlineSeconds {}", seconds));
    out.look_again = deadline;
  }
  const std::int64_t wanted = std::min(base::get_int(job, "spec.parallelism", 1), completions - out.succeeded);
  out.create = std::clamp<std::int64_t>(wanted - out.active, 0, kBurst);
  if (out.create > 0 && last_failure != base::SystemTime{}) {
    const auto doubled = std::min<std::int64_t>(out.failed - 1, 6);
    const base::SystemTime next =
        last_failure + std::min<std::chrono::seconds>(kFirstPause * (1 << doubled), kLongestPause);
    if (now < next) {
      out.create = 0;
      out.look_again = out.look_again ? std::min(*out.look_again, next) : next;
    }
  }
  return out;
}

JobController::JobController(platform::Host& host)
    : host_(host),
      client_(host.client("job-controller")),
      jobs_(host.caches().of(kJobs)),
      pods_(host.caches().of(kPods)) {}

void JobController::add_to(platform::Host& host) {
  auto self = std::make_shared<JobController>(host);
  reconcile::ControllerOptions options;
  options.name = "job-controller";
  options.primary = kJobs;
  options.also.push_back({kPods, reconcile::owner_of_kind("Job")});
  host.add_controller(std::move(options), [self](reconcile::Name name) { return self->reconcile(std::move(name)); });
}

std::vector<client::ObjectPtr> JobController::pods_of(const json::value& job) const {
  const std::string uid = base::get_string(job, "metadata.uid");
  std::vector<client::ObjectPtr> out;
  for (client::ObjectPtr& pod : pods_->list(base::get_string(job, "metadata.namespace"))) {
    if (reconcile::is_controlled_by(*pod, uid)) out.push_back(std::move(pod));
  }
  return out;
}

async::Task<reconcile::Outcome> JobController::reconcile(reconcile::Name name) {
  auto keep = shared_from_this();
  const client::ObjectPtr job = jobs_->get(name.ns, name.name);
  if (!job || being_deleted(*job)) co_return reconcile::Outcome::done();
  if (has_ended(*job)) co_return co_await clean_up(job);
  if (co_await label(job)) co_return reconcile::Outcome::done();  // seen again with its labels
  const base::SystemTime now = host_.clock().now();
  std::vector<client::ObjectPtr> pods = pods_of(*job);
  JobDecision decision = decide_job(*job, pods, now);
  const std::string trouble = co_await change_pods(job, pods, decision);
  if (trouble.empty() && decision.create > 0) decision.active += decision.create;
  if (decision.stop) decision.active = decision.ready = 0;
  co_await write_status(job, decision);
  if (!trouble.empty()) throw base::unavailable(trouble);  // tried again with back-off; the Event is written
  if (!decision.ended.empty()) co_return reconcile::Outcome::after(std::chrono::milliseconds(1));
  if (decision.look_again)
    co_return reconcile::Outcome::after(*decision.look_again - now + std::chrono::milliseconds(1));
  co_return reconcile::Outcome::done();
}

// An ended Job is deleted when its time is over, with its pods.
async::Task<reconcile::Outcome> JobController::clean_up(client::ObjectPtr job) {
  const json::value* ttl = base::find(*job, "spec.ttlSecondsAfterFinished");
  if (ttl == nullptr || !ttl->is_int64()) co_return reconcile::Outcome::done();
  const json::value* condition = reconcile::find_condition(*job, "Complete");
  if (condition == nullptr) condition = reconcile::find_condition(*job, "Failed");
  const auto ended = base::parse_rfc3339(base::get_string(*condition, "lastTransitionTime"));
  if (!ended) co_return reconcile::Outcome::done();
  const base::SystemTime at = *ended + std::chrono::seconds(ttl->as_int64()), now = host_.clock().now();
  if (now < at) co_return reconcile::Outcome::after(at - now + std::chrono::milliseconds(1));
  co_await client_.remove(kJobs, base::get_string(*job, "metadata.namespace"), name_of(*job));
  co_return reconcile::Outcome::done();
}

// Clients find a Job's pods by its selector (kubectl logs job/x): by its uid, as upstream does. True where it was set.
async::Task<bool> JobController::label(client::ObjectPtr job) {
  if (base::find(*job, "spec.selector") != nullptr) co_return false;
  reconcile::Pass pass(client_, kJobs, job);
  const std::string uid = base::get_string(*job, "metadata.uid");
  for (const auto& [label, value] :
       {std::pair{"batch.kubernetes.io/controller-uid", uid}, std::pair{"batch.kubernetes.io/job-name", name_of(*job)},
        std::pair{"controller-uid", uid}, std::pair{"job-name", name_of(*job)}})
    base::set(pass.object(), {"spec", "template", "metadata", "labels", label}, json::string(value));
  base::set(pass.object(), "spec.selector",
            json::object{{"matchLabels", json::object{{"batch.kubernetes.io/controller-uid", uid}}}});
  co_await pass.commit();
  co_return true;
}

async::Task<std::string> JobController::change_pods(client::ObjectPtr job, std::vector<client::ObjectPtr> pods,
                                                    JobDecision decision) {
  const std::string ns = base::get_string(*job, "metadata.namespace");
  std::string version, trouble;
  try {
    for (const client::ObjectPtr& pod : pods) {
      if (decision.stop && pod_active(*pod)) co_await client_.remove(kPods, ns, name_of(*pod));
    }
    for (std::int64_t i = 0; i < decision.create; ++i) {
      const json::value pod =
          co_await client_.create(kPods, ns, pod_from_template(*job, *base::find(*job, "spec.template")));
      version = base::get_string(pod, "metadata.resourceVersion");
      host_.tasks().spawn("event", client_.event(*job, "Normal", "SuccessfulCreate", "Created pod: " + name_of(pod)));
    }
  } catch (const base::StatusError& e) {
    trouble = e.message();
  }
  if (!trouble.empty())
    host_.tasks().spawn("event", client_.event(*job, "Warning", "FailedCreate", "Error creating: " + trouble));
  // The next pass must see what this one made, or it would make it again.
  if (!version.empty()) co_await async::with_timeout(pods_->caught_up(std::move(version)), kCatchUp);
  co_return trouble;
}

async::Task<> JobController::write_status(client::ObjectPtr job, JobDecision decision) {
  reconcile::Pass pass(client_, kJobs, job);
  json::value& object = pass.object();
  const std::string now = base::rfc3339(host_.clock().now());
  base::set(object, "status.active", decision.active);
  base::set(object, "status.ready", decision.ready);
  base::set(object, "status.succeeded", decision.succeeded);
  base::set(object, "status.failed", decision.failed);
  if (base::get_string(object, "status.startTime").empty() && !base::get_bool(object, "spec.suspend"))
    base::set(object, "status.startTime", json::string(now));
  if (!decision.ended.empty()) {
    pass.set_condition(decision.ended, true, decision.reason, decision.message, host_.clock());
    if (decision.ended == "Complete") base::set(object, "status.completionTime", json::string(now));
    host_.tasks().spawn("event",
                        client_.event(*job, decision.ended == "Complete" ? "Normal" : "Warning",
                                      decision.ended == "Complete" ? "Completed" : decision.reason, decision.message));
  }
  co_await pass.commit();
}

}  // namespace mainstay::compute
