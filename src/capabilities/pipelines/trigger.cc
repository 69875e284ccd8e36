#include "capabilities/pipelines/trigger.h"

#include "base/log.h"
#include "base/status.h"
#include "base/strings.h"
#include "capabilities/pipelines/workflow.h"
#include "crypto/digest.h"

namespace mainstay::pipelines {
namespace {

constexpr std::size_t kMaxDecisions = 500;
constexpr std::size_t kMaxWorkflows = 20;
constexpr std::size_t kMaxWorkflowFile = 512u << 10;
constexpr std::string_view kFolder = ".github/workflows";

bool is_workflow_file(std::string_view name) { return name.ends_with(".yml") || name.ends_with(".yaml"); }

std::string short_ref(std::string_view ref) {
  for (std::string_view prefix : {"refs/heads/", "refs/tags/"})
    if (ref.starts_with(prefix)) return std::string(ref.substr(prefix.size()));
  return std::string(ref);
}

}  // namespace

std::string run_name(const reconcile::Name& repository, std::string_view ref, std::string_view commit,
                     std::string_view moved_at, std::string_view workflow) {
  constexpr std::string_view kAlphabet = "bcdfghjklmnpqrstvwxz2456789";  // as base::random_suffix
  const std::string hash = crypto::sha256_raw(
      fmt::format("{}/{}\n{}\n{}\n{}\n{}", repository.ns, repository.name, ref, commit, moved_at, workflow));
  std::string suffix;
  for (int i = 0; i < 5; ++i)
    suffix += kAlphabet[static_cast<unsigned char>(hash[static_cast<std::size_t>(i)]) % kAlphabet.size()];
  return fmt::format("{}-{}-{}", repository.name, commit.substr(0, 7), suffix);
}

bool skips_ci(std::string_view message) {
  const std::string lower = base::lower(message);
  for (std::string_view mark : {"[skip ci]", "[ci skip]", "[no ci]", "[skip actions]", "[actions skip]"})
    if (lower.contains(mark)) return true;
  return false;
}

Trigger::Trigger(platform::Host& host)
    : host_(host), client_(host.client("pipelines")), decided_(host.runtime().executor()) {}

void Trigger::start() { git_ = host_.find<platform::GitReader>(); }

std::string Trigger::first_environment(const std::string& team) const {
  const auto object = host_.caches().of(client::resources::kTeams)->get("", team);
  if (!object) return "dev";
  const auto& environments = base::get_array(*object, "spec.environments");
  return environments.empty() ? "dev" : base::get_string(environments[0], "name", "dev");
}

void Trigger::remember(Decision decision) {
  if (decisions_.size() >= kMaxDecisions) decisions_.pop_front();
  decisions_.push_back(std::move(decision));
  decided_.notify_all();
}

async::Task<std::optional<Decision>> Trigger::decision(reconcile::Name repository, std::string ref, std::string commit,
                                                       std::chrono::nanoseconds limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  for (;;) {
    for (auto at = decisions_.rbegin(); at != decisions_.rend(); ++at)
      if (at->repository == repository && at->ref == ref && at->commit == commit) co_return *at;
    const auto left = deadline - std::chrono::steady_clock::now();
    if (left.count() <= 0) co_return std::nullopt;
    co_await decided_.wait_for(left);
  }
}

async::Task<reconcile::Outcome> Trigger::reconcile(reconcile::Name name) {
  const client::ObjectPtr object = host_.caches().of(client::resources::kRepositories)->get(name.ns, name.name);
  if (!object || !git_ || !base::get_string(*object, "metadata.deletionTimestamp").empty())
    co_return reconcile::Outcome::done();
  const json::object& refs = base::get_object(*object, "status.refs");
  const json::object& known = base::get_object(*object, "status.triggered");
  const std::string main = "refs/heads/" + base::get_string(*object, "spec.defaultBranch", "main");
  // A repository that arrives whole, with its history of branches and tags, builds its default branch and nothing else.
  const bool arrives_whole = known.empty() && refs.size() > 1;
  json::object triggered;
  for (const auto& entry : known)
    if (!refs.contains(entry.key())) triggered[entry.key()] = nullptr;
  for (const auto& entry : refs) {
    const std::string ref(entry.key()), sha = base::get_string(entry.value(), "sha");
    const json::value* seen = known.if_contains(ref);
    if (seen != nullptr && *seen == json::value(sha)) continue;
    Decision decision;
    if (arrives_whole && ref != main) {
      decision = {
          name,
          ref,
          sha,
          {},
          {fmt::format("{}: nothing runs for branches and tags that arrive with a new repository", short_ref(ref))}};
    } else {
      decision = co_await decide(*object, name, ref, entry.value());
    }
    triggered[ref] = sha;
    remember(std::move(decision));
  }
  if (!triggered.empty()) {
    // Written last: a crash before it decides again, to the same run names.
    co_await client_.merge_patch(client::resources::kRepositories, name.ns, name.name,
                                 json::object{{"status", json::object{{"triggered", std::move(triggered)}}}}, "status");
  }
  co_return reconcile::Outcome::done();
}

async::Task<Decision> Trigger::decide(const json::value& repository, reconcile::Name name, std::string ref,
                                      const json::value& entry) {
  Decision decision{name, ref, base::get_string(entry, "sha"), {}, {}};
  auto commit = co_await git_->commit(name.ns, name.name, decision.commit);
  if (!commit) {
    if (commit.error().code != base::ErrorCode::kNotFound) throw base::from_error(commit.error());
    decision.note = {fmt::format("{} names no commit: nothing runs", short_ref(ref))};
    co_return decision;
  }
  if (skips_ci(commit->message)) {
    decision.note = {"the commit message says to skip: nothing runs"};
    co_return decision;
  }
  std::vector<std::string> files;
  if (auto listed = co_await git_->list(name.ns, name.name, commit->sha, std::string(kFolder))) {
    for (const std::string& file : *listed)
      if (is_workflow_file(file) && files.size() < kMaxWorkflows) files.push_back(fmt::format("{}/{}", kFolder, file));
  }
  if (files.empty()) {
    auto root = co_await git_->list(name.ns, name.name, commit->sha, "");
    const bool buildable = root && std::ranges::find(*root, "Dockerfile") != root->end();
    if (buildable && ref.starts_with("refs/heads/")) {
      decision.runs.push_back(co_await make_run(repository, name, ref, commit->sha, entry, "default"));
    } else if (!buildable) {
      decision.note = {
          "nothing runs: there is neither a Dockerfile nor a workflow in .github/workflows",
          "add a Dockerfile to have it built and deployed on each push, or a workflow that says what to do"};
    }
    co_return decision;
  }
  std::optional<std::vector<std::string>> changed;
  bool compared = false;
  for (const std::string& file : files) {
    auto text = co_await git_->read_file(name.ns, name.name, commit->sha, file, kMaxWorkflowFile);
    auto workflow = text ? parse_workflow(file, *text) : std::unexpected(text.error());
    // A workflow that cannot be read becomes a run all the same: one that fails and says why.
    if (workflow) {
      if (workflow->push && (workflow->push->paths || workflow->push->paths_ignore) && !compared) {
        compared = true;
        auto paths = co_await git_->changed_paths(name.ns, name.name, base::get_string(entry, "previous"), commit->sha);
        if (paths) changed = std::move(*paths);
      }
      if (!push_starts(*workflow, ref, changed)) continue;
    }
    decision.runs.push_back(co_await make_run(repository, name, ref, commit->sha, entry, file));
  }
  if (decision.runs.empty())
    decision.note = {fmt::format("nothing runs: no workflow in {} starts on a push of {}", kFolder, short_ref(ref))};
  co_return decision;
}

async::Task<std::string> Trigger::make_run(const json::value& repository, reconcile::Name name, std::string ref,
                                           std::string commit, const json::value& entry, std::string workflow) {
  const std::string run = run_name(name, ref, commit, base::get_string(entry, "pushedAt"), workflow);
  std::int64_t number = 1;
  for (const auto& other : host_.caches().of(client::resources::kWorkflowRuns)->list(name.ns))
    if (base::get_string(*other, "spec.repository") == name.name)
      number = std::max(number, base::get_int(*other, "spec.number") + 1);
  json::value object = json::object{
      {"apiVersion", "mainstay.dev/v1"},
      {"kind", "WorkflowRun"},
      {"metadata",
       json::object{{"name", run},
                    {"namespace", name.ns},
                    {"labels", json::object{{"mainstay.dev/repository", name.name}, {"mainstay.dev/commit", commit}}},
                    {"ownerReferences", json::array{reconcile::owner_reference(repository)}}}},
      {"spec", json::object{{"repository", name.name},
                            {"ref", ref},
                            {"commit", commit},
                            {"before", base::get_string(entry, "previous")},
                            {"event", "push"},
                            {"actor", base::get_string(entry, "pushedBy", "unknown")},
                            {"workflow", workflow},
                            {"number", number},
                            {"environment", first_environment(name.ns)}}}};
  try {
    co_await client_.create(client::resources::kWorkflowRuns, name.ns, std::move(object));
    base::log::info("pipelines", "{}/{} {} at {}: run {} of {}", name.ns, name.name, ref, commit.substr(0, 7), run,
                    workflow);
  } catch (const base::StatusError& error) {
    if (!error.is_already_exists()) throw;
  }
  co_return run;
}

}  // namespace mainstay::pipelines
