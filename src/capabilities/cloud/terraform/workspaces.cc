#include "capabilities/cloud/terraform/workspaces.h"

#include <fmt/format.h>

#include "base/status.h"
#include "base/strings.h"

namespace mainstay::cloud {
namespace resources = client::resources;
namespace {

constexpr std::size_t kKeepRuns = 50;  // of a workspace

std::string text(const json::value& object, std::string_view path) { return base::get_string(object, path); }

bool has_source(const json::value& workspace) {
  return !text(workspace, "spec.source.repository").empty() ||
         !base::get_object(workspace, "spec.source.files").empty();
}

}  // namespace

std::vector<client::ObjectPtr> WorkspaceReconciler::runs_of(const json::value& workspace) const {
  std::vector<client::ObjectPtr> out;
  for (const auto& run : host_.caches().of(kTerraformRuns)->list(text(workspace, "metadata.namespace")))
    if (text(*run, "spec.workspace") == text(workspace, "metadata.name")) out.push_back(run);
  std::ranges::sort(out, {}, [](const client::ObjectPtr& run) {
    // Of one second, the one that changed last: they go one after the other. Versions are numbers of growing length.
    const std::string version = text(*run, "metadata.resourceVersion");
    return std::tuple(text(*run, "metadata.creationTimestamp"), version.size(), version);
  });
  return out;
}

async::Task<> WorkspaceReconciler::begin_run(const json::value& workspace, std::string name, std::string operation) {
  json::object object{
      {"apiVersion", "mainstay.dev/v1"},
      {"kind", "TerraformRun"},
      {"metadata", json::object{{"name", name},
                                {"namespace", text(workspace, "metadata.namespace")},
                                {"ownerReferences", json::array{reconcile::owner_reference(workspace)}}}},
      {"spec", json::object{{"workspace", text(workspace, "metadata.name")},
                            {"operation", std::move(operation)},
                            {"requestedBy", base::annotation(workspace, kAuthorAnnotation)}}}};
  try {
    co_await client_.create(kTerraformRuns, text(workspace, "metadata.namespace"), std::move(object));
  } catch (const base::StatusError& error) {
    if (!error.is_already_exists()) throw;
  }
}

async::Task<std::string> WorkspaceReconciler::commit_of(const json::value& workspace) {
  const std::string repository = text(workspace, "spec.source.repository");
  const auto git = host_.find<platform::GitReader>();
  if (repository.empty() || !git) co_return "";
  std::string ns = text(workspace, "spec.source.namespace");
  if (ns.empty()) {
    ns = text(workspace, "metadata.namespace");
    const auto space = host_.caches().of(resources::kNamespaces)->get("", ns);
    if (space && !base::label(*space, "mainstay.dev/team").empty()) ns = base::label(*space, "mainstay.dev/team");
  }
  const auto commit = co_await git->commit(ns, repository, base::get_string(workspace, "spec.source.revision", "HEAD"));
  co_return commit ? commit->sha : "";
}

// Outputs of the state in force, and what the last runs came to.
async::Task<> WorkspaceReconciler::show(reconcile::Pass& pass) {
  const json::value& workspace = pass.original();
  json::value& object = pass.object();
  json::object plain;
  json::array sensitive;
  if (const std::string current = text(workspace, "status.current"); !current.empty()) {
    const auto state = co_await client_.find(kStates, text(workspace, "metadata.namespace"), current);
    const auto parsed = base::parse_json(state ? text(*state, "spec.state") : "{}", 64);
    if (parsed) {
      Outputs outputs = outputs_of(*parsed);
      plain = std::move(outputs.plain);
      for (const auto& entry : outputs.sensitive) sensitive.emplace_back(entry.key());
    }
  }
  base::erase(object, "status.outputs");
  base::set(object, "status.outputs", std::move(plain));
  base::set(object, "status.sensitiveOutputs", std::move(sensitive));
  show_runs(pass, runs_of(workspace));
}

// In their order, and each condition set once: what the last of them says.
void WorkspaceReconciler::show_runs(reconcile::Pass& pass, const std::vector<client::ObjectPtr>& runs) {
  json::value& object = pass.object();
  client::ObjectPtr last, drift;
  for (const auto& run : runs) {
    const std::string phase = text(*run, "status.phase"), operation = text(*run, "spec.operation");
    if (operation == "drift" && phase == "Planned") drift = run;
    if (operation != "apply" && operation != "destroy") continue;
    last = run;
    if (phase != "Applied") continue;
    drift = nullptr;  // nothing of what was seen before holds
    base::set(object, "status.appliedConfiguration",
              json::value(operation == "apply" ? text(*run, "status.configuration") : std::string()));
    base::set(object, "status.appliedRevision", json::value(text(*run, "status.revision")));
  }
  if (last) {
    const std::string phase = base::get_string(*last, "status.phase", "Pending"), name = text(*last, "metadata.name");
    const bool good = phase == "Applied";
    base::set(object, "status.phase", json::value(phase));
    base::set(object, "status.lastRun", json::value(name));
    pass.set_condition(
        "Ready", good, phase,
        good ? "what the module asks for is there" : fmt::format("run {}: {}", name, text(*last, "status.message")),
        host_.clock());
  }
  if (!drift) {
    base::erase(object, "status.drift");
    if (reconcile::find_condition(object, "Drifted") != nullptr)
      pass.set_condition("Drifted", false, "InStep", "it was applied since it was looked at", host_.clock());
    return;
  }
  const std::string summary = text(*drift, "status.summary"), name = text(*drift, "metadata.name");
  const bool found = text(*drift, "status.message") != "no changes";
  base::set(
      object, "status.drift",
      json::object{{"found", found}, {"summary", summary}, {"run", name}, {"at", text(*drift, "status.finishedAt")}});
  pass.set_condition("Drifted", found, found ? "Differs" : "InStep",
                     found ? fmt::format("what is there is not what was applied: {} ({})", summary, name)
                           : "what is there is what was applied",
                     host_.clock());
}

async::Task<reconcile::Outcome> WorkspaceReconciler::check_drift(reconcile::Pass& pass) {
  const json::value& workspace = pass.object();
  const std::string every = text(workspace, "spec.driftCheck");
  if (every.empty() || text(workspace, "status.appliedConfiguration").empty()) co_return reconcile::Outcome::done();
  const auto interval = base::parse_duration(every);
  if (!interval || *interval < std::chrono::minutes(1)) co_return reconcile::Outcome::done();
  base::SystemTime last{};
  for (const auto& run : runs_of(workspace)) {
    const std::string phase = text(*run, "status.phase");
    if (!is_over(phase)) co_return reconcile::Outcome::done();  // its end brings us back
    if (const auto at = base::parse_rfc3339(text(*run, "status.finishedAt"))) last = std::max(last, *at);
  }
  const auto since = host_.clock().now() - last;
  if (since < *interval)
    co_return reconcile::Outcome::after(std::chrono::duration_cast<std::chrono::nanoseconds>(*interval - since));
  co_await begin_run(workspace,
                     fmt::format("{}-drift-{}", text(workspace, "metadata.name").substr(0, 220),
                                 std::chrono::system_clock::to_time_t(host_.clock().now())),
                     "drift");
  // The newest few of them tell all there is to tell.
  std::vector<client::ObjectPtr> looked;
  for (const auto& run : runs_of(workspace))
    if (text(*run, "spec.operation") == "drift") looked.push_back(run);
  for (std::size_t i = 0; i + 10 < looked.size(); ++i)
    co_await client_.remove(kTerraformRuns, text(workspace, "metadata.namespace"), text(*looked[i], "metadata.name"));
  co_return reconcile::Outcome::done();
}

// Destroys what there is first, where that is asked for.
async::Task<reconcile::Outcome> WorkspaceReconciler::release(reconcile::Pass& pass) {
  const json::value& workspace = pass.original();
  if (!pass.has_finalizer(kWorkspaceFinalizer)) co_return reconcile::Outcome::done();
  const bool destroy = base::get_bool(workspace, "spec.destroyOnDelete") && has_source(workspace) &&
                       base::get_int(workspace, "status.resources") > 0;
  const auto runs = runs_of(workspace);
  // Nobody wants what waits to be applied any more.
  for (const auto& run : runs)
    if (text(*run, "status.phase") == "AwaitingApproval" && text(*run, "spec.operation") == "apply")
      co_await client_.merge_patch(
          kTerraformRuns, text(*run, "metadata.namespace"), text(*run, "metadata.name"),
          json::object{{"metadata", json::object{{"resourceVersion", text(*run, "metadata.resourceVersion")}}},
                       {"status", json::object{{"phase", "Discarded"},
                                               {"message", "its workspace is being deleted"},
                                               {"finishedAt", base::rfc3339(host_.clock().now())}}}},
          "status");
  const client::ObjectPtr last = runs.empty() ? nullptr : runs.back();
  const bool busy = std::ranges::any_of(runs, [](const auto& run) { return !is_over(text(*run, "status.phase")); });
  if (busy || (destroy && last && text(*last, "spec.operation") == "destroy")) {
    pass.set_condition(
        "Ready", false, "Deleting",
        busy ? "its last run goes on first"
             : fmt::format("run {} did not destroy it: {}. Begin another (mainstay terraform destroy), or "
                           "set spec.destroyOnDelete to false to leave what is there",
                           text(*last, "metadata.name"), text(*last, "status.message")),
        host_.clock());
    co_await pass.commit();
    co_return reconcile::Outcome::done();
  }
  if (destroy) {
    std::string refused;
    try {
      co_await begin_run(workspace,
                         fmt::format("{}-delete-{}", text(workspace, "metadata.name").substr(0, 220),
                                     text(workspace, "metadata.uid").substr(0, 8)),
                         "destroy");
    } catch (const base::StatusError& error) {
      if (error.code() != 403) throw;  // its namespace is going, which takes nothing new
      refused = error.message();
    }
    if (!refused.empty()) {
      pass.set_condition(
          "Ready", false, "CannotDestroy",
          fmt::format("what it made is still there, and no run can be made: {}. Destroy it by hand over the "
                      "state's backend, or set spec.destroyOnDelete to false to leave it",
                      refused),
          host_.clock());
      co_await pass.commit();
    }
    co_return reconcile::Outcome::done();
  }
  pass.remove_finalizer(kWorkspaceFinalizer);
  co_await pass.commit();
  co_return reconcile::Outcome::done();
}

async::Task<reconcile::Outcome> WorkspaceReconciler::reconcile(reconcile::Name name) {
  const auto self = shared_from_this();
  const client::ObjectPtr object = host_.caches().of(kWorkspaces)->get(name.ns, name.name);
  if (!object) co_return reconcile::Outcome::done();
  reconcile::Pass pass(client_, kWorkspaces, object);
  if (pass.deleting()) co_return co_await release(pass);
  if (!has_source(*object)) co_return reconcile::Outcome::done();
  if (!pass.has_finalizer(kWorkspaceFinalizer)) {
    pass.add_finalizer(kWorkspaceFinalizer);
    co_await pass.commit();
    co_return reconcile::Outcome::done();
  }
  const std::string commit = co_await commit_of(*object), wanted = configuration_digest(*object, commit);
  const std::int64_t generation = base::get_int(*object, "metadata.generation");
  if (base::get_bool(*object, "spec.runOnChange", true) && text(*object, "status.configuration") != wanted) {
    std::string run = fmt::format("{}-{}", name.name.substr(0, 220), generation);
    if (!commit.empty()) run += "-" + commit.substr(0, 8);
    co_await begin_run(*object, run, "apply");
    base::set(pass.object(), "status.configuration", json::value(wanted));
  }
  base::set(pass.object(), "status.observedGeneration", generation);
  co_await show(pass);
  const auto outcome = co_await check_drift(pass);
  // Old runs go: what they came to is in the status.
  const auto runs = runs_of(*object);
  for (std::size_t i = 0; i + kKeepRuns < runs.size(); ++i)
    if (is_over(text(*runs[i], "status.phase")))
      co_await client_.remove(kTerraformRuns, name.ns, text(*runs[i], "metadata.name"));
  co_await pass.commit();
  co_return outcome;
}

}  // namespace mainstay::cloud
