#include "capabilities/pipelines/run_reconcile.h"

#include "base/log.h"
#include "base/status.h"
#include "base/strings.h"
#include "capabilities/pipelines/job_pod.h"
#include "capabilities/pipelines/run_plan.h"

namespace mainstay::pipelines {
namespace {

// A job's pod is kept so long after its run, for those who want to look.
constexpr std::chrono::minutes kKeepPods{15};
constexpr std::size_t kKeepRuns = 50;  // of a repository
constexpr std::chrono::minutes kPodStartLimit{5};
constexpr std::size_t kMaxWorkflowFile = 512u << 10;

std::chrono::nanoseconds age(const base::Clock& clock, const std::string& since) {
  const auto time = base::parse_rfc3339(since);
  return time ? clock.now() - *time : std::chrono::nanoseconds(0);
}

}  // namespace

RunReconciler::RunReconciler(platform::Host& host, std::shared_ptr<RunStore> store,
                             std::shared_ptr<Attestations> attestations)
    : host_(host),
      client_(host.client("pipelines")),
      store_(std::move(store)),
      attestations_(std::move(attestations)) {}

void RunReconciler::start() { git_ = host_.find<platform::GitReader>(); }

async::Task<reconcile::Outcome> RunReconciler::reconcile(reconcile::Name name) {
  const client::ObjectPtr run = host_.caches().of(client::resources::kWorkflowRuns)->get(name.ns, name.name);
  if (!run || !base::get_string(*run, "metadata.deletionTimestamp").empty()) {
    plans_.erase(name);
    co_return reconcile::Outcome::done();
  }
  if (is_final(base::get_string(*run, "status.phase"))) co_return co_await clean_up(name, run);
  auto planned = co_await plan(*run);
  if (!planned) {
    co_await fail(name, planned.error().message);
    co_return reconcile::Outcome::done();
  }
  co_return co_await advance(name, *run, *planned);
}

async::Task<base::Result<std::shared_ptr<const RunReconciler::Plan>>> RunReconciler::plan(json::value run) {
  const std::string uid = base::get_string(run, "metadata.uid");
  const reconcile::Name name{base::get_string(run, "metadata.namespace"), base::get_string(run, "metadata.name")};
  if (const auto known = plans_.find(name); known != plans_.end() && known->second.uid == uid)
    co_return known->second.plan;
  if (!git_)
    co_return base::fail(base::ErrorCode::kUnavailable,
                         "this platform has no source control, so there is no workflow to read");
  const std::string &ns = name.ns, repository = base::get_string(run, "spec.repository");
  const std::string file = base::get_string(run, "spec.workflow", "default"),
                    commit = base::get_string(run, "spec.commit");
  const auto object = host_.caches().of(client::resources::kRepositories)->get(ns, repository);
  const std::string branch = object ? base::get_string(*object, "spec.defaultBranch", "main") : "main";
  std::string text = default_workflow(branch);
  if (file != "default") {
    auto read = co_await git_->read_file(ns, repository, commit, file, kMaxWorkflowFile);
    if (!read) co_return std::unexpected(read.error());
    text = std::move(*read);
  }
  MAINSTAY_CO_TRY(Workflow workflow, parse_workflow(file, text));
  auto made = std::make_shared<Plan>();
  made->github = github_context(run, host_.config(), branch, workflow.name);
  if (auto head = co_await git_->commit(ns, repository, commit)) {
    json::value event = made->github["event"];
    base::set(event, "head_commit.message", json::value(head->message));
    base::set(event, "head_commit.author", json::object{{"name", head->author_name}, {"email", head->author_email}});
    made->github["event"] = std::move(event);
  }
  made->workflow = std::move(workflow);
  plans_[name] = {uid, made};
  co_return std::shared_ptr<const Plan>(made);
}

async::Task<> RunReconciler::fail(reconcile::Name name, std::string message) {
  const json::value run = co_await store_->change(name, [&](json::value& object) {
    if (!is_final(base::get_string(object, "status.phase"))) finish_run(object, "Failed", message, host_.clock().now());
  });
  co_await client_.event(run, "Warning", "Failed", message.substr(0, 1000));
}

async::Task<reconcile::Outcome> RunReconciler::advance(reconcile::Name name, json::value run,
                                                       std::shared_ptr<const Plan> plan) {
  // What became of the pods. Those this process does not see yet in its copy are asked for.
  std::map<std::string, PodOutcome> outcomes;
  for (const json::value& job : base::get_array(run, "status.jobs")) {
    const std::string pod = base::get_string(job, "pod");
    if (pod.empty() || is_final(base::get_string(job, "phase"))) continue;
    const auto cached = host_.caches().of(client::resources::kPods)->get(name.ns, pod);
    if (cached) {
      PodOutcome outcome = pod_outcome(*cached);
      if (!outcome.over && base::get_string(*cached, "status.phase", "Pending") == "Pending" &&
          age(host_.clock(), base::get_string(*cached, "metadata.creationTimestamp")) > kPodStartLimit)
        outcome = {true, "the job's pod did not start within 5 minutes; mainstay describe pod " + pod + " says why"};
      if (outcome.over) outcomes[pod] = outcome;
    } else if (base::get_string(job, "phase") == "Running" &&
               !co_await client_.find(client::resources::kPods, name.ns, pod)) {
      outcomes[pod] = {true, "the job's pod was deleted"};
    }
  }
  std::vector<std::string> stop;
  const json::value changed = co_await store_->change(name, [&](json::value& object) {
    stop.clear();
    if (is_final(base::get_string(object, "status.phase"))) return;
    const auto now = host_.clock().now();
    for (json::value& job : jobs_of(object)) {
      const auto outcome = outcomes.find(base::get_string(job, "pod"));
      if (outcome != outcomes.end() && !is_final(base::get_string(job, "phase")))
        finish_job(job.as_object(), "Failed", outcome->second.reason, base::rfc3339_micro(now));
    }
    stop = plan_next(object, plan->workflow, plan->github, now);
    if (base::get_string(object, "status.phase").empty()) {
      base::set(object, "status.phase", json::value("Running"));
      base::set(object, "status.startedAt", json::value(base::rfc3339_micro(now)));
    }
    std::string message;
    const std::string result = verdict(object, &message);
    if (result.empty() || !attestations_->complete(object)) return;
    for (const json::value& image : base::get_array(object, "status.images"))
      if (std::string why = base::get_string(image, "message"); !why.empty() && result == "Succeeded")
        return finish_run(object, "Failed", why, now);
    finish_run(object, result, message, now);
  });
  for (const std::string& pod : stop) co_await client_.remove(client::resources::kPods, name.ns, pod);
  if (is_final(base::get_string(changed, "status.phase"))) co_return reconcile::Outcome::done();
  attestations_->begin(changed);
  co_await ensure_pods(name, changed, plan);
  co_return reconcile::Outcome::after(std::chrono::minutes(1));
}

async::Task<> RunReconciler::ensure_pods(reconcile::Name name, json::value run, std::shared_ptr<const Plan> plan) {
  const json::array& jobs = base::get_array(run, "status.jobs");
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    const std::string pod_name = base::get_string(jobs[i], "pod");
    // A pod that has reported is there; one whose job still waits may not have been made before a crash.
    if (pod_name.empty() || base::get_string(jobs[i], "phase") != "Pending") continue;
    if (host_.caches().of(client::resources::kPods)->get(name.ns, pod_name)) continue;
    const auto job = job_to_run(run, plan->workflow, plan->github, i);
    std::string problem;
    auto pod = job ? job_pod(run, *job, plan->github, host_.config()) : std::unexpected(job.error());
    if (pod) {
      try {
        co_await client_.create(client::resources::kPods, name.ns, *pod);
      } catch (const base::StatusError& error) {
        if (error.is_already_exists()) continue;
        if (error.code() >= 500 || error.is_conflict()) throw;
        problem = "the job's pod was refused: " + error.message();
      }
    } else {
      problem = pod.error().message;
    }
    if (problem.empty()) continue;
    co_await store_->change(name, [&](json::value& object) {
      if (json::object* entry = find_entry(jobs_of(object), "pod", pod_name);
          entry != nullptr && !is_final(text_in(*entry, "phase")))
        finish_job(*entry, "Failed", problem, store_->now());
    });
  }
}

async::Task<reconcile::Outcome> RunReconciler::clean_up(reconcile::Name name, client::ObjectPtr run) {
  if (plans_.erase(name) > 0) co_await prune(name.ns, base::get_string(*run, "spec.repository"));
  const auto since = age(host_.clock(), base::get_string(*run, "status.finishedAt"));
  const bool keep = since < kKeepPods;
  bool any = false;
  for (const json::value& job : base::get_array(*run, "status.jobs")) {
    const std::string pod = base::get_string(job, "pod");
    const auto object = pod.empty() ? nullptr : host_.caches().of(client::resources::kPods)->get(name.ns, pod);
    if (!object || !reconcile::is_controlled_by(*object, base::get_string(*run, "metadata.uid"))) continue;
    const std::string phase = base::get_string(*object, "status.phase");
    any = true;
    // What still runs of a run that has ended (cancelled, failed by its deadline) is stopped at once.
    if (!keep || (base::get_string(job, "phase") == "Cancelled" && phase != "Succeeded" && phase != "Failed"))
      co_await client_.remove(client::resources::kPods, name.ns, pod);
  }
  co_return any&& keep ? reconcile::Outcome::after(kKeepPods - since + std::chrono::seconds(1))
                       : reconcile::Outcome::done();
}

async::Task<> RunReconciler::prune(std::string ns, std::string repository) {
  std::vector<std::pair<std::int64_t, std::string>> finished;
  for (const auto& run : host_.caches().of(client::resources::kWorkflowRuns)->list(ns))
    if (base::get_string(*run, "spec.repository") == repository && is_final(base::get_string(*run, "status.phase")))
      finished.emplace_back(base::get_int(*run, "spec.number"), base::get_string(*run, "metadata.name"));
  if (finished.size() <= kKeepRuns) co_return;
  std::ranges::sort(finished);
  finished.resize(finished.size() - kKeepRuns);
  for (const auto& [number, name] : finished) co_await client_.remove(client::resources::kWorkflowRuns, ns, name);
}

}  // namespace mainstay::pipelines
