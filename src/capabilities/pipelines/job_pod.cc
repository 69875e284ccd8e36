#include "capabilities/pipelines/job_pod.h"

#include "base/strings.h"
#include "capabilities/pipelines/expression.h"
#include "reconcile/controller.h"

namespace mainstay::pipelines {
namespace {

std::string label_of(std::string_view text) {
  std::string out;
  for (const char c : text.substr(0, 63))
    out += std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' || c == '.' ? c : '-';
  while (!out.empty() && !std::isalnum(static_cast<unsigned char>(out.back()))) out.pop_back();
  while (!out.empty() && !std::isalnum(static_cast<unsigned char>(out.front()))) out.erase(0, 1);
  return out;
}

json::value step_text(const Step& step) {
  json::object out;
  const auto put = [&](std::string_view key, const std::string& value) {
    if (!value.empty()) out[key] = value;
  };
  put("id", step.id);
  put("name", step.name);
  put("uses", builtin_action(step.uses));
  put("run", step.run);
  put("shell", step.shell);
  put("workingDirectory", step.working_directory);
  put("if", step.condition);
  if (!step.env.empty()) out["env"] = step.env;
  if (!step.with.empty()) out["with"] = step.with;
  if (!step.continue_on_error.is_null()) out["continueOnError"] = step.continue_on_error;
  if (!step.timeout_minutes.is_null()) out["timeoutMinutes"] = step.timeout_minutes;
  return out;
}

}  // namespace

json::object github_context(const json::value& run, const base::Config& config, std::string_view default_branch,
                            std::string_view workflow_name) {
  const std::string ns = base::get_string(run, "metadata.namespace"),
                    repository = base::get_string(run, "spec.repository");
  const std::string ref = base::get_string(run, "spec.ref"), commit = base::get_string(run, "spec.commit");
  const bool tag = ref.starts_with("refs/tags/");
  std::string short_ref = ref;
  for (std::string_view prefix : {"refs/heads/", "refs/tags/"})
    if (ref.starts_with(prefix)) short_ref = ref.substr(prefix.size());
  json::object event{
      {"ref", ref},
      {"before", base::get_string(run, "spec.before")},
      {"after", commit},
      {"repository",
       json::object{{"name", repository}, {"full_name", ns + "/" + repository}, {"default_branch", default_branch}}},
      {"head_commit", json::object{{"id", commit}}}};
  if (const json::value* inputs = base::find(run, "spec.inputs")) event["inputs"] = *inputs;
  const std::string number = std::to_string(base::get_int(run, "spec.number", 1));
  return {{"repository", ns + "/" + repository},
          {"repository_owner", ns},
          {"ref", ref},
          {"ref_name", short_ref},
          {"ref_type", tag ? "tag" : "branch"},
          {"ref_protected", false},
          {"sha", commit},
          {"actor", base::get_string(run, "spec.actor")},
          {"triggering_actor", base::get_string(run, "spec.actor")},
          {"event_name", base::get_string(run, "spec.event", "push")},
          {"event", std::move(event)},
          {"workflow", workflow_name},
          {"workflow_ref", fmt::format("{}/{}/{}@{}", ns, repository, base::get_string(run, "spec.workflow"), ref)},
          {"run_id", base::get_string(run, "metadata.name")},
          {"run_number", number},
          {"run_attempt", "1"},
          {"head_ref", ""},
          {"base_ref", ""},
          {"server_url", config.server_url()},
          {"api_url", config.server_url()},
          {"workspace", kWorkspace}};
}

std::int64_t job_minutes(const json::value& timeout) {
  const double minutes = timeout.is_number() ? timeout.to_number<double>() : std::atof(to_text(timeout).c_str());
  if (!(minutes > 0)) return kDefaultJobMinutes;
  return std::clamp<std::int64_t>(static_cast<std::int64_t>(std::min<double>(minutes, kMaxJobMinutes)), 1,
                                  kMaxJobMinutes);
}

std::string job_pod_name(const json::value& run, std::int64_t number) {
  return fmt::format("{}-{}", base::get_string(run, "metadata.name"), number + 1);
}

json::value job_text(const json::value& run, const JobToRun& what, const json::object& github,
                     const base::Config& config) {
  json::array steps;
  for (const Step& step : what.job->steps) steps.push_back(step_text(step));
  json::object github_here = github;
  github_here["job"] = what.job->id;
  json::object contexts{
      {"github", std::move(github_here)},
      {"needs", what.needs},
      {"matrix", what.matrix},
      {"strategy", json::object{{"fail-fast", what.job->fail_fast}, {"job-total", what.matrix_size}}}};
  if (const json::value* inputs = base::find(run, "spec.inputs")) contexts["inputs"] = *inputs;
  json::object out{
      {"namespace", base::get_string(run, "metadata.namespace")},
      {"run", base::get_string(run, "metadata.name")},
      {"job", what.key},
      {"repository", base::get_string(run, "spec.repository")},
      {"ref", base::get_string(run, "spec.ref")},
      {"commit", base::get_string(run, "spec.commit")},
      {"environment", what.environment.empty() ? base::get_string(run, "spec.environment", "dev") : what.environment},
      {"registry", config.registry_host()},
      {"timeoutMinutes", job_minutes(what.timeout_minutes)},
      {"contexts", std::move(contexts)},
      {"steps", std::move(steps)}};
  if (!what.workflow->env.empty()) out["workflowEnv"] = what.workflow->env;
  if (!what.job->env.empty()) out["env"] = what.job->env;
  if (!what.job->outputs.empty()) out["outputs"] = what.job->outputs;
  if (!what.job->shell.empty()) out["shell"] = what.job->shell;
  if (!what.job->working_directory.empty()) out["workingDirectory"] = what.job->working_directory;
  return out;
}

base::Result<json::value> job_pod(const json::value& run, const JobToRun& what, const json::object& github,
                                  const base::Config& config) {
  const std::string text = base::to_json(job_text(run, what, github, config));
  if (text.size() > kMaxJobText)
    return base::fail(base::ErrorCode::kTooLarge,
                      fmt::format("job {} is too long: its steps may have {} KiB together; move scripts into files",
                                  what.job->id, kMaxJobText >> 10));
  const std::string ns = base::get_string(run, "metadata.namespace"), name = base::get_string(run, "metadata.name");
  const std::string repository = base::get_string(run, "spec.repository");
  json::object container{
      {"name", "job"},
      {"image", "mainstay.dev/runner"},
      {"command", json::array{"/usr/local/bin/mainstay", "runner"}},
      {"workingDir", kWorkspace},
      {"env", json::array{json::object{{"name", "MAINSTAY_JOB"}, {"value", text}},
                          json::object{{"name", "MAINSTAY_SERVER"}, {"value", config.pod_server_url()}}}},
      {"resources", json::object{{"requests", json::object{{"cpu", "500m"}, {"memory", "64Mi"}}},
                                 {"limits", json::object{{"memory", "4Gi"}}}}},
      {"volumeMounts",
       json::array{
           json::object{{"name", "workspace"}, {"mountPath", kWorkspace}},
           json::object{{"name", "workflow-secrets"}, {"mountPath", "/run/mainstay/secrets"}, {"readOnly", true}}}}};
  json::object pod{
      {"apiVersion", "v1"},
      {"kind", "Pod"},
      {"metadata",
       json::object{
           {"name", job_pod_name(run, what.number)},
           {"namespace", ns},
           {"labels",
            json::object{{kRunLabel, name}, {kJobLabel, label_of(what.key)}, {"mainstay.dev/repository", repository}}},
           {"annotations", json::object{{"mainstay.dev/builds", "true"}, {"mainstay.dev/build-cache", repository}}},
           {"ownerReferences", json::array{reconcile::owner_reference(run)}}}},
      {"spec",
       json::object{{"serviceAccountName", "pipeline"},
                    {"restartPolicy", "Never"},
                    {"terminationGracePeriodSeconds", 5},
                    {"activeDeadlineSeconds", job_minutes(what.timeout_minutes) * 60 + 30},
                    {"enableServiceLinks", false},
                    {"containers", json::array{std::move(container)}},
                    {"volumes", json::array{json::object{{"name", "workspace"}, {"emptyDir", json::object{}}},
                                            json::object{{"name", "workflow-secrets"},
                                                         {"secret", json::object{{"secretName", "workflow-secrets"},
                                                                                 {"optional", true}}}}}}}}};
  return json::value(std::move(pod));
}

PodOutcome pod_outcome(const json::value& pod) {
  const std::string phase = base::get_string(pod, "status.phase");
  const auto& statuses = base::get_array(pod, "status.containerStatuses");
  const json::value none;
  const json::value& status = statuses.empty() ? none : statuses[0];
  const std::string waiting = base::get_string(status, "state.waiting.reason");
  if (phase == "Pending" || phase.empty()) {
    static constexpr std::string_view kHopeless[] = {
        "ErrImagePull",         "ImagePullBackOff",           "InvalidImageName", "ErrImageNeverPull",
        "CreateContainerError", "CreateContainerConfigError", "RunContainerError"};
    if (std::ranges::find(kHopeless, waiting) != std::end(kHopeless))
      return {true, fmt::format("the job's container cannot start: {}: {}", waiting,
                                base::get_string(status, "state.waiting.message"))};
    return {};
  }
  if (phase != "Failed" && phase != "Succeeded") return {};
  std::string reason = base::get_string(pod, "status.reason"), message = base::get_string(pod, "status.message");
  if (reason.empty()) reason = base::get_string(status, "state.terminated.reason");
  if (message.empty()) message = base::get_string(status, "state.terminated.message");
  if (reason == "DeadlineExceeded") return {true, "the job ran longer than its timeout-minutes"};
  if (reason == "OOMKilled") return {true, "the job used more memory than its 4 GiB and was stopped (OOMKilled)"};
  const std::int64_t code = base::get_int(status, "state.terminated.exitCode", -1);
  std::string text =
      fmt::format("the job's runner ended without a report ({}{})", reason.empty() ? "no reason known" : reason,
                  code >= 0 ? fmt::format(", exit code {}", code) : "");
  if (!message.empty()) text += ": " + message;
  return {true, text};
}

}  // namespace mainstay::pipelines
