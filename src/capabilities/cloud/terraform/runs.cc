#include "capabilities/cloud/terraform/runs.h"

#include <fmt/format.h>

#include "base/encoding.h"
#include "base/files.h"
#include "base/log.h"
#include "base/status.h"
#include "base/strings.h"
#include "crypto/digest.h"

namespace mainstay::cloud {
namespace resources = client::resources;
using base::ErrorCode;
using base::fail;
namespace {

std::string text(const json::value& object, std::string_view path) { return base::get_string(object, path); }
void put(reconcile::Pass& pass, std::string_view path, json::value what) {
  base::set(pass.object(), path, std::move(what));
}

const client::Resource kEnvironments{"mainstay.dev", "v1", "environments", true, "Environment"};

json::object meta(const std::string& name, std::string_view ns) {
  return {{"name", name},
          {"namespace", ns},
          {"labels", json::object{{kRunLabel, name}, {"app.kubernetes.io/managed-by", "mainstay"}}}};
}

std::string role_name(const std::string& id) { return "mainstay-" + id; }

// What a module's backend block says (or does not) is replaced: the state is the platform's to keep.
constexpr const char* kOverrideFile = "mainstay_backend_override.tf.json";
constexpr const char* kOverride = R"({"terraform": {"backend": {"http": {}}}})";

constexpr std::string_view kNoProgram =
    "there is neither terraform nor tofu in the platform's PATH on this machine: install one of them, or set "
    "spec.image "
    "to an image that has one";

}  // namespace

std::string run_id(const json::value& run) {
  return "tf-" + crypto::sha256_hex(text(run, "metadata.uid")).substr(0, 16);
}
std::string run_user(const json::value& run) {
  return fmt::format("system:serviceaccount:{}:{}", kRunsNamespace, run_id(run));
}

async::Task<> RunReconciler::start() {
  const auto& config = host_.config();
  for (const auto& resource : {resources::kPods, kWorkspaces, kTerraformRuns, resources::kNamespaces, kEnvironments})
    host_.caches().of(resource);
  if (auto made = base::make_directories(config.dir("terraform"), 0700); !made)
    throw std::runtime_error(made.error().message);
  if (!config.compute) co_return;
  json::array except{config.pod_cidr, config.service_cidr, "127.0.0.0/8", "169.254.0.0/16"};
  // The platform's own address on the bridge passes by policies.
  json::object spec{
      {"podSelector", json::object{}},
      {"policyTypes", json::array{"Ingress", "Egress"}},
      {"ingress", json::array{}},
      {"egress", json::array{json::object{
                     {"to", json::array{json::object{
                                {"ipBlock", json::object{{"cidr", "0.0.0.0/0"}, {"except", std::move(except)}}}}}}}}}};
  co_await client_.apply({"networking.k8s.io", "v1", "networkpolicies", true, "NetworkPolicy"},
                         json::object{{"apiVersion", "networking.k8s.io/v1"},
                                      {"kind", "NetworkPolicy"},
                                      {"metadata", json::object{{"name", "runs"}, {"namespace", kRunsNamespace}}},
                                      {"spec", std::move(spec)}});
}

void RunReconciler::finish(reconcile::Pass& pass, std::string_view phase, std::string message) {
  put(pass, "status.phase", json::value(phase));
  put(pass, "status.message", json::value(message.substr(0, 2000)));
  put(pass, "status.finishedAt", json::value(base::rfc3339(host_.clock().now())));
  base::log::info("terraform", "run {}/{}: {}", text(pass.original(), "metadata.namespace"),
                  text(pass.original(), "metadata.name"), phase);
}

async::Task<reconcile::Outcome> RunReconciler::reconcile(reconcile::Name name) {
  const auto self = shared_from_this();
  const client::ObjectPtr object = host_.caches().of(kTerraformRuns)->get(name.ns, name.name);
  if (!object) co_return reconcile::Outcome::done();
  reconcile::Pass pass(client_, kTerraformRuns, object);
  const std::string phase = text(*object, "status.phase");
  // What is being applied is not torn away: its deletion waits for its end.
  if (is_over(phase) || (pass.deleting() && phase != "Applying")) {
    if (!pass.has_finalizer(kRunFinalizer)) co_return reconcile::Outcome::done();
    co_await clear(*object);
    pass.remove_finalizer(kRunFinalizer);
    co_await pass.commit();
    co_return reconcile::Outcome::done();
  }
  if (!pass.has_finalizer(kRunFinalizer)) {
    pass.add_finalizer(kRunFinalizer);
    co_await pass.commit();
    co_return reconcile::Outcome::done();
  }
  const auto workspace = co_await client_.find(kWorkspaces, name.ns, text(*object, "spec.workspace"));
  if (!workspace) {
    finish(pass, "Failed", fmt::format("there is no workspace {}", text(*object, "spec.workspace")));
    co_await pass.commit();
    co_return reconcile::Outcome::done();
  }
  co_return co_await advance(pass, *workspace);
}

bool RunReconciler::first_in_line(const json::value& run) const {
  const auto order = [](const json::value& r) {
    return std::pair(text(r, "metadata.creationTimestamp"), text(r, "metadata.uid"));
  };
  for (const auto& other : host_.caches().of(kTerraformRuns)->list(text(run, "metadata.namespace"))) {
    const std::string phase = text(*other, "status.phase");
    if (text(*other, "spec.workspace") != text(run, "spec.workspace") || is_over(phase) ||
        text(*other, "metadata.uid") == text(run, "metadata.uid"))
      continue;
    if ((!phase.empty() && phase != "Pending") || order(*other) < order(run)) return false;
  }
  return true;
}

async::Task<reconcile::Outcome> RunReconciler::advance(reconcile::Pass& pass, const json::value& workspace) {
  const std::string phase = text(pass.original(), "status.phase");
  if (phase.empty() || phase == "Pending") {
    if (!first_in_line(pass.original())) {
      put(pass, "status.phase", "Pending");
      put(pass, "status.message", "another run of the workspace goes first");
      co_await pass.commit();
      co_return reconcile::Outcome::after(std::chrono::minutes(1));
    }
    const auto ready = co_await prepare(pass, workspace);
    if (ready) {
      put(pass, "status.phase", "Planning");
      put(pass, "status.message", "");
      put(pass, "status.startedAt", json::value(base::rfc3339(host_.clock().now())));
    } else if (ready.error().code == ErrorCode::kUnavailable) {
      throw base::from_error(ready.error());
    } else {
      finish(pass, "Failed", ready.error().message);
    }
    co_await pass.commit();
    co_return reconcile::Outcome::done();
  }
  if (phase == "AwaitingApproval") co_return reconcile::Outcome::done();
  const bool apply = phase == "Applying";
  if (text(pass.original(), "status.pod").empty()) {
    const auto made = co_await make_pod(pass, workspace, apply);
    if (!made) {
      if (made.error().code == ErrorCode::kUnavailable) throw base::from_error(made.error());
      finish(pass, "Failed", made.error().message);
    }
    co_await pass.commit();
    co_return reconcile::Outcome::done();
  }
  std::string why;
  auto result = co_await ended(pass, &why);
  if (!result) co_return reconcile::Outcome::after(std::chrono::minutes(1));
  if (apply) {
    co_await applied(pass, workspace, *std::move(result), why);
  } else {
    co_await planned(pass, workspace, *std::move(result), why);
  }
  co_await pass.commit();
  co_return reconcile::Outcome::done();
}

async::Task<base::Result<ModuleFiles>> RunReconciler::from_repository(reconcile::Pass& pass,
                                                                      const json::value& workspace) {
  const auto git = host_.find<platform::GitReader>();
  if (!git)
    co_return fail(ErrorCode::kUnavailable, "this platform has no source control, so there is no module to read");
  const std::string repository = text(workspace, "spec.source.repository"), path = text(workspace, "spec.source.path");
  std::string ns = text(workspace, "spec.source.namespace");
  if (ns.empty()) {
    ns = text(workspace, "metadata.namespace");
    const auto space = host_.caches().of(resources::kNamespaces)->get("", ns);
    if (space && !base::label(*space, "mainstay.dev/team").empty()) ns = base::label(*space, "mainstay.dev/team");
  }
  // What drifts is measured against what was applied, not against what was pushed since.
  std::string revision = base::get_string(workspace, "spec.source.revision", "HEAD");
  if (text(pass.original(), "spec.operation") == "drift" && !text(workspace, "status.appliedRevision").empty())
    revision = text(workspace, "status.appliedRevision");
  MAINSTAY_CO_TRY(const auto commit, co_await git->commit(ns, repository, revision));
  put(pass, "status.revision", json::value(commit.sha));
  put(pass, "status.commitAuthor", json::value(commit.author_email));
  ModuleFiles files;
  std::size_t bytes = 0;
  std::vector<std::string> folders{""};
  std::string root = path;
  while (root.ends_with('/')) root.pop_back();
  if (!root.empty()) MAINSTAY_CO_TRY_VOID(check_module_path(root));
  while (!folders.empty()) {
    const std::string folder = folders.back();
    folders.pop_back();
    std::string where = root;
    if (!folder.empty()) where += (where.empty() ? "" : "/") + folder;
    while (where.ends_with('/')) where.pop_back();
    MAINSTAY_CO_TRY(const auto names, co_await git->list(ns, repository, commit.sha, where));
    for (const std::string& name : names) {
      const std::string inside = folder + name;
      if (name.ends_with('/')) {
        if (std::ranges::count(inside, '/') <= 8) folders.push_back(inside);
        continue;
      }
      const std::string whole = root.empty() ? inside : root + "/" + inside;
      MAINSTAY_CO_TRY(std::string content, co_await git->read_file(ns, repository, commit.sha, whole, kMaxModule));
      bytes += content.size();
      files.emplace(inside, std::move(content));
      if (files.size() > kMaxModuleFiles || bytes > kMaxModule)
        co_return fail(ErrorCode::kTooLarge, fmt::format("the module has more than {} files or {} MiB: name its folder "
                                                         "in spec.source.path",
                                                         kMaxModuleFiles, kMaxModule >> 20));
    }
  }
  co_return files;
}

async::Task<base::Result<ModuleFiles>> RunReconciler::module_files(reconcile::Pass& pass,
                                                                   const json::value& workspace) {
  ModuleFiles files;
  if (!text(workspace, "spec.source.repository").empty()) {
    auto read = co_await from_repository(pass, workspace);
    if (!read) co_return std::unexpected(read.error());
    files = *std::move(read);
  } else {
    for (const auto& entry : base::get_object(workspace, "spec.source.files"))
      files.emplace(entry.key(), as_text(entry.value()));
  }
  for (const auto& [name, content] : files) MAINSTAY_CO_TRY_VOID(check_module_path(name));
  if (std::ranges::none_of(files, [](const auto& f) {
        return f.first.find('/') == std::string::npos &&
               (f.first.ends_with(".tf") || f.first.ends_with(".tf.json") || f.first.ends_with(".tofu"));
      }))
    co_return fail(ErrorCode::kInvalid, "spec.source has no module: no .tf file in repository and path, nor in files");
  files[kOverrideFile] = kOverride;
  co_return files;
}

// inputs.tfvars.json and environment, of the Secret that the pod reads.
async::Task<base::Result<std::map<std::string, std::string>>> RunReconciler::inputs(const json::value& workspace,
                                                                                    std::vector<std::string>* secrets) {
  json::object variables = base::get_object(workspace, "spec.inputs");
  std::map<std::string, std::string> environment;
  for (const json::value& input : base::get_array(workspace, "spec.secretInputs")) {
    std::string ns = text(input, "secretKeyRef.namespace");
    if (ns.empty()) ns = text(workspace, "metadata.namespace");
    const std::string name = text(input, "secretKeyRef.name"), key = text(input, "secretKeyRef.key");
    const auto secret = co_await client_.find(resources::kSecrets, ns, name);
    const json::value* found = secret ? base::find(*secret, {"data", key}) : nullptr;
    auto plain = found != nullptr && found->is_string() ? base::base64_decode(found->as_string())
                                                        : base::Result<std::string>(fail(ErrorCode::kNotFound, ""));
    if (!plain)
      co_return fail(ErrorCode::kInvalid,
                     fmt::format("secretInputs: there is no key {} in Secret {}/{}", key, ns, name));
    secrets->push_back(*plain);
    if (const std::string variable = text(input, "variable"); !variable.empty()) variables[variable] = *plain;
    if (const std::string env = text(input, "env"); !env.empty()) environment[env] = *plain;
  }
  MAINSTAY_CO_TRY(std::string exports, environment_file(environment));
  co_return std::map<std::string, std::string>{{"inputs.tfvars.json", base::to_json(json::value(std::move(variables)))},
                                               {"environment", std::move(exports)}};
}

// An account of the run's own, that may read, write and lock this one state, until the run has ended.
async::Task<> RunReconciler::make_account(std::string id, const json::value& workspace) {
  const std::string ns = text(workspace, "metadata.namespace");
  constexpr std::string_view kRbac = "rbac.authorization.k8s.io";
  co_await client_.apply(
      resources::kServiceAccounts,
      json::object{{"apiVersion", "v1"}, {"kind", "ServiceAccount"}, {"metadata", meta(id, kRunsNamespace)}});
  json::object metadata = meta(role_name(id), ns);
  json::object rule{{"apiGroups", json::array{"mainstay.dev"}},
                    {"resources", json::array{"workspaces/state"}},
                    {"resourceNames", json::array{text(workspace, "metadata.name")}},
                    {"verbs", json::array{"get", "update"}}};
  co_await client_.apply(resources::kRoles, json::object{{"apiVersion", "rbac.authorization.k8s.io/v1"},
                                                         {"kind", "Role"},
                                                         {"metadata", metadata},
                                                         {"rules", json::array{std::move(rule)}}});
  co_await client_.apply(
      resources::kRoleBindings,
      json::object{{"apiVersion", "rbac.authorization.k8s.io/v1"},
                   {"kind", "RoleBinding"},
                   {"metadata", std::move(metadata)},
                   {"roleRef", json::object{{"apiGroup", kRbac}, {"kind", "Role"}, {"name", role_name(id)}}},
                   {"subjects", json::array{json::object{
                                    {"kind", "ServiceAccount"}, {"name", id}, {"namespace", kRunsNamespace}}}}});
}

async::Task<base::Result<>> RunReconciler::prepare(reconcile::Pass& pass, const json::value& workspace) {
  if (!host_.config().compute)
    co_return fail(ErrorCode::kInvalid, "this platform was started with --no-compute: it has no pods to run it in");
  if (text(workspace, "spec.image").empty() && find_program().empty())
    co_return fail(ErrorCode::kInvalid, std::string(kNoProgram));
  auto files = co_await module_files(pass, workspace);
  if (!files) co_return std::unexpected(files.error());
  std::vector<std::string> secrets;
  auto told = co_await inputs(workspace, &secrets);
  if (!told) co_return std::unexpected(told.error());
  const std::string id = run_id(pass.original());
  json::object data;
  for (const auto& [key, value] : *told) data[key] = base::base64(value);
  co_await client_.apply(resources::kSecrets, json::object{{"apiVersion", "v1"},
                                                           {"kind", "Secret"},
                                                           {"metadata", meta(id, kRunsNamespace)},
                                                           {"type", "Opaque"},
                                                           {"data", std::move(data)}});
  co_await make_account(id, workspace);
  const auto laid = co_await host_.runtime().blocking(
      [where = folder(id), content = *std::move(files)] { return lay_out(where, content); });
  if (!laid) co_return std::unexpected(laid.error());
  put(pass, "status.configuration",
      json::value(configuration_digest(workspace, text(pass.object(), "status.revision"))));
  co_return base::Result<>{};
}

async::Task<base::Result<>> RunReconciler::make_pod(reconcile::Pass& pass, const json::value& workspace, bool apply) {
  const json::value& run = pass.original();
  PodRequest request;
  request.id = run_id(run);
  request.apply = apply;
  request.flags = text(run, "spec.operation") == "destroy" ? "-destroy" : "";
  request.image = text(workspace, "spec.image");
  request.program = find_program();
  if (request.image.empty() && request.program.empty()) co_return fail(ErrorCode::kInvalid, std::string(kNoProgram));
  request.folder = folder(request.id).string();
  request.minutes = base::get_int(workspace, "spec.timeoutMinutes", 60);
  request.state_address = fmt::format("{}/terraform/state/{}/{}", host_.config().pod_server_url(),
                                      text(workspace, "metadata.namespace"), text(workspace, "metadata.name"));
  try {
    co_await client_.create(resources::kPods, std::string(kRunsNamespace), run_pod(run, request));
  } catch (const base::StatusError& error) {
    const bool passes = error.code() >= 500 || error.is_conflict();
    if (!error.is_already_exists())
      co_return fail(passes ? ErrorCode::kUnavailable : ErrorCode::kInvalid,
                     "the run's pod was refused: " + error.message());
  }
  put(pass, "status.pod", json::value(pod_name(request)));
  co_return base::Result<>{};
}

async::Task<std::optional<RunResult>> RunReconciler::ended(reconcile::Pass& pass, std::string* why) {
  const std::string pod_name = text(pass.original(), "status.pod"), id = run_id(pass.original());
  auto pod = host_.caches().of(resources::kPods)->get(kRunsNamespace, pod_name);
  if (!pod) {
    if (auto asked = co_await client_.find(resources::kPods, std::string(kRunsNamespace), pod_name))
      pod = std::make_shared<const json::value>(*std::move(asked));
  }
  if (pod) {
    const std::string phase = text(*pod, "status.phase");
    const auto& statuses = base::get_array(*pod, "status.containerStatuses");
    const std::string waiting = statuses.empty() ? "" : text(statuses[0], "state.waiting.reason");
    static constexpr std::string_view kHopeless[] = {
        "ErrImagePull",         "ImagePullBackOff",           "InvalidImageName",
        "CreateContainerError", "CreateContainerConfigError", "RunContainerError"};
    const bool hopeless = std::ranges::find(kHopeless, waiting) != std::end(kHopeless);
    if (!hopeless && phase != "Succeeded" && phase != "Failed") co_return std::nullopt;
    *why = hopeless
               ? fmt::format("the run's pod cannot start: {}: {}", waiting, text(statuses[0], "state.waiting.message"))
           : text(*pod, "status.reason") == "DeadlineExceeded" ? "it took longer than spec.timeoutMinutes"
                                                               : "the run's pod ended before the program did";
    if (!hopeless && !statuses.empty() && text(statuses[0], "state.terminated.reason") == "OOMKilled")
      *why = "it used more memory than its 1 GiB and was stopped";
  } else {
    *why = "the run's pod is gone";
  }
  co_return co_await host_.runtime().blocking([where = folder(id)] { return read_out(where); });
}

async::Task<bool> RunReconciler::release_lock(const json::value& run) {
  const std::string ns = text(run, "metadata.namespace"), name = text(run, "spec.workspace");
  for (int attempt = 0; attempt < 8; ++attempt) {
    const auto workspace = co_await client_.find(kWorkspaces, ns, name);
    if (!workspace || text(*workspace, "status.lock.user") != run_user(run)) co_return false;
    json::value patch =
        json::object{{"metadata", json::object{{"resourceVersion", text(*workspace, "metadata.resourceVersion")}}},
                     {"status", json::object{{"lock", nullptr}}}};
    try {
      co_await client_.merge_patch(kWorkspaces, ns, name, std::move(patch), "status");
      co_await client_.event(
          *workspace, "Warning", "LockReleased",
          fmt::format("run {} ended without giving back the state's lock", text(run, "metadata.name")));
      co_return true;
    } catch (const base::StatusError& error) {
      if (!error.is_conflict()) throw;
    }
  }
  co_return false;
}

std::string RunReconciler::needed_approval(const json::value& workspace) const {
  const std::string asked = base::get_string(workspace, "spec.approval", "manual");
  const auto space = host_.caches().of(resources::kNamespaces)->get("", text(workspace, "metadata.namespace"));
  if (!space) return "independent";  // not known is not free
  const std::string team = base::label(*space, "mainstay.dev/team"),
                    environment = base::label(*space, "mainstay.dev/environment");
  if (environment.empty()) return asked;
  const auto environments = host_.caches().of(kEnvironments);
  if (!environments->has_synced()) return "independent";
  const auto policy = environments->get(team, environment);
  return policy && base::get_int(*policy, "spec.approvals") > 0 ? "independent" : asked;
}

async::Task<> RunReconciler::planned(reconcile::Pass& pass, const json::value& workspace, RunResult result,
                                     std::string why) {
  const std::string operation = text(pass.original(), "spec.operation"), id = run_id(pass.original());
  std::vector<std::string> secrets;
  const auto told = co_await inputs(workspace, &secrets);
  put(pass, "status.log",
      json::value(told ? tail_of(masked(std::move(result.log), secrets), kMaxLogText)
                       : "(not shown: a secret input has gone, so that it could not be masked)"));
  const bool released = !result.code && co_await release_lock(pass.original());
  if (!result.code || (*result.code != 0 && *result.code != 2)) {
    finish(pass, "Failed",
           result.code ? "the plan failed; status.log says how"
                       : why + (released ? "; the state's lock was released" : ""));
    co_return;
  }
  const PlanSummary summary = summary_of(result.plan_text);
  put(pass, "status.summary", json::value(summary.text));
  put(pass, "status.add", summary.add);
  put(pass, "status.change", summary.change);
  put(pass, "status.destroy", summary.destroy);
  if (told) put(pass, "status.plan", json::value(head_of(masked(std::move(result.plan_text), secrets), kMaxPlanText)));
  const bool changes = *result.code == 2;
  if (operation == "plan" || operation == "drift") {
    finish(pass, "Planned", changes ? "" : "no changes");
    co_return;
  }
  if (!changes) {
    finish(pass, "Applied", "no changes");
    co_return;
  }
  if (result.plan.empty() || result.plan_too_large) {
    finish(pass, "Failed", fmt::format("the plan is larger than {} KiB: split the module", kMaxPlan >> 10));
    co_return;
  }
  // Sealed with the other objects until it is applied or discarded.
  co_await client_.merge_patch(resources::kSecrets, std::string(kRunsNamespace), id,
                               json::object{{"data", json::object{{"plan", base::base64(result.plan)}}}});
  co_await host_.runtime().blocking([where = folder(id)] { return empty_out(where); });
  const std::string policy = needed_approval(workspace);
  put(pass, "status.approval", json::value(policy));
  put(pass, "status.pod", "");
  put(pass, "status.phase", policy == "auto" ? "Applying" : "AwaitingApproval");
  put(pass, "status.message",
      json::value(policy == "auto"     ? std::string()
                  : policy == "manual" ? std::string("waits for an approval")
                                       : std::string("waits for an approval by somebody other than its author")));
}

async::Task<> RunReconciler::applied(reconcile::Pass& pass, const json::value& workspace, RunResult result,
                                     std::string why) {
  std::vector<std::string> secrets;
  const auto told = co_await inputs(workspace, &secrets);
  put(pass, "status.log",
      json::value(told ? tail_of(masked(std::move(result.log), secrets), kMaxLogText)
                       : "(not shown: a secret input has gone, so that it could not be masked)"));
  if (result.code && *result.code == 0) {
    finish(pass, "Applied", "");
    co_return;
  }
  const bool released = co_await release_lock(pass.original());
  finish(pass, "Failed",
         (result.code ? std::string("the apply failed; status.log says how, and the state holds what was done") : why) +
             (released ? "; the state's lock was released. Plan again: it shows what is left to do" : ""));
}

async::Task<> RunReconciler::clear(const json::value& run) {
  const std::string id = run_id(run), ns = text(run, "metadata.namespace"), runs(kRunsNamespace);
  for (const char* stage : {"plan", "apply"})
    co_await client_.remove(resources::kPods, runs, fmt::format("{}-{}", id, stage));
  co_await client_.remove(resources::kRoleBindings, ns, role_name(id));
  co_await client_.remove(resources::kRoles, ns, role_name(id));
  co_await client_.remove(resources::kSecrets, runs, id);
  co_await client_.remove(resources::kServiceAccounts, runs, id);
  co_await release_lock(run);
  co_await host_.runtime().blocking([where = folder(id)] { clear_away(where); });
}

}  // namespace mainstay::cloud
