// Pure questions about releases and environments.
#include <algorithm>
#include <set>

#include "base/strings.h"
#include "capabilities/pipelines/delivery/releases.h"
#include "crypto/digest.h"

namespace mainstay::pipelines {
namespace {

constexpr std::size_t kMaxHistory = 50;

json::array& list_in_status(json::value& release, std::string_view key) {
  const std::string path = fmt::format("status.{}", key);
  json::value* list = base::find(release, path);
  if (list == nullptr || !list->is_array()) {
    base::set(release, path, json::array());
    list = base::find(release, path);
  }
  return list->as_array();
}

}  // namespace

std::int64_t default_approvals(std::string_view environment) {
  return environment == "prod" || environment == "production" || environment == "live" ? 1 : 0;
}

std::vector<Stage> stages_of(const std::vector<client::ObjectPtr>& environments) {
  std::vector<Stage> out;
  for (const auto& object : environments)
    out.push_back({base::get_string(*object, "metadata.name"), base::get_int(*object, "spec.order"),
                   base::get_int(*object, "spec.approvals"), base::get_bool(*object, "spec.autoPromote")});
  std::ranges::sort(out, {}, [](const Stage& s) { return std::pair(s.order, s.name); });
  return out;
}

const Stage* stage_named(const std::vector<Stage>& stages, std::string_view name) {
  const auto at = std::ranges::find(stages, name, &Stage::name);
  return at == stages.end() ? nullptr : &*at;
}

Stage stage_to_be(const std::vector<Stage>& stages, std::string_view name) {
  const Stage* known = stage_named(stages, name);
  return known != nullptr ? *known : Stage{std::string(name), 0, default_approvals(name), false};
}

const Stage* stage_before(const std::vector<Stage>& stages, std::string_view name) {
  const auto at = std::ranges::find(stages, name, &Stage::name);
  return at == stages.end() || at == stages.begin() ? nullptr : &*(at - 1);
}

const Stage* stage_after(const std::vector<Stage>& stages, std::string_view name) {
  const auto at = std::ranges::find(stages, name, &Stage::name);
  return at == stages.end() || at + 1 == stages.end() ? nullptr : &*(at + 1);
}

const json::object* environment_of(const json::value& release, std::string_view environment) {
  for (const json::value& entry : base::get_array(release, "status.environments"))
    if (entry.is_object() && base::get_string(entry, "name") == environment) return &entry.as_object();
  return nullptr;
}

json::object& make_environment(json::value& release, std::string_view environment) {
  json::array& list = list_in_status(release, "environments");
  if (json::object* there = find_entry(list, "name", environment)) return *there;
  list.push_back(json::object{{"name", environment}});
  return list.back().as_object();
}

std::string state_in(const json::value& release, std::string_view environment) {
  const json::object* entry = environment_of(release, environment);
  return entry == nullptr ? "" : text_in(*entry, "state");
}

void summarise(json::value& release, base::SystemTime now) {
  std::vector<std::string> parts;
  std::string failed;
  for (const json::value& entry : base::get_array(release, "status.environments")) {
    const std::string name = base::get_string(entry, "name"), where = base::get_string(entry, "state");
    parts.push_back(name + ": " + where);
    if (where == state::kFailed)
      failed += fmt::format("{}{}: {}", failed.empty() ? "" : "; ", name, base::get_string(entry, "message"));
  }
  base::set(release, "status.summary", json::value(json::string(base::join(parts, ", "))));
  if (failed.size() > 4096) failed.resize(4096);
  reconcile::set_condition(release, "Ready", failed.empty() ? "True" : "False",
                           failed.empty() ? "AsRequested" : "DeploymentFailed", failed, now);
}

void add_history(json::value& release, const json::object& environment, std::string_view result,
                 std::string_view message, std::string_view now) {
  json::array& history = list_in_status(release, "history");
  json::object entry{{"environment", text_in(environment, "name")},
                     {"action", text_in(environment, "action")},
                     {"by", text_in(environment, "requestedBy")},
                     {"at", text_in(environment, "requestedAt")},
                     {"finishedAt", now},
                     {"result", result}};
  if (!message.empty()) entry["message"] = message.substr(0, 1024);
  history.push_back(std::move(entry));
  if (history.size() > kMaxHistory) history.erase(history.begin());
}

bool was_deployed(const json::value& release, std::string_view environment) {
  const json::object* entry = environment_of(release, environment);
  if (entry == nullptr || text_in(*entry, "deployedAt").empty()) return false;
  const std::string where = text_in(*entry, "state");
  return where == state::kDeployed || where == state::kSuperseded;
}

void supersede_waiting(json::value& release, std::string_view environment, std::string_view message) {
  const std::string where = state_in(release, environment);
  if (where != state::kPending && where != state::kDeploying) return;
  json::object& entry = make_environment(release, environment);
  entry["state"] = state::kSuperseded;
  entry["message"] = message.substr(0, 2048);
}

std::int64_t approvals_for(const json::value& release, std::string_view environment, const MayApprove& may) {
  std::set<std::string> people;
  for (const json::value& approval : base::get_array(release, "status.approvals")) {
    const std::string by = base::get_string(approval, "by");
    if (base::get_string(approval, "environment") == environment && why_not_approver(release, by, "").empty() &&
        may(by))
      people.insert(by);
  }
  return static_cast<std::int64_t>(people.size());
}

std::string needs_approval(const Stage& stage, std::int64_t missing) {
  return fmt::format("needs {} of {} approvals by people other than its authors", missing, stage.approvals);
}

std::string why_not_approver(const json::value& release, std::string_view user, std::string_view email) {
  if (user.empty() || user.starts_with("system:"))
    return fmt::format("an approval is a person's: {} is none", user.empty() ? "nobody" : user);
  for (const json::value& author : base::get_array(release, "spec.authors"))
    if (author.is_string() && author.as_string() == user)
      return fmt::format("{} is an author of this release: somebody else has to approve it", user);
  if (base::get_string(release, "spec.author") == user)
    return fmt::format("{} pushed this release: somebody else has to approve it", user);
  for (const json::value& wrote : base::get_array(release, "spec.authorEmails"))
    if (!email.empty() && wrote.is_string() && base::iequals(wrote.as_string(), email))
      return fmt::format("{} wrote a commit of this release: somebody else has to approve it", user);
  return "";
}

std::vector<std::string> actors_of(const json::value& run) {
  std::vector<std::string> out;
  for (const json::value& actor : base::get_array(run, "spec.actors"))
    if (actor.is_string()) out.emplace_back(actor.as_string());
  if (std::string actor = base::get_string(run, "spec.actor");
      out.empty() || std::ranges::find(out, actor) == out.end())
    out.push_back(std::move(actor));
  return out;
}

std::string release_name(std::string_view workload, std::string_view commit, std::string_view run) {
  const std::string hash = crypto::sha256_hex(fmt::format("{}\n{}", workload, run));
  return fmt::format("{}-{}-{}", workload.substr(0, 44), commit.substr(0, 7), hash.substr(0, 8));
}

client::ObjectPtr current_in(const std::vector<client::ObjectPtr>& releases, std::string_view workload,
                             std::string_view environment) {
  client::ObjectPtr found;
  std::string newest;
  for (const auto& release : releases) {
    if (base::get_string(*release, "spec.workload") != workload || state_in(*release, environment) != state::kDeployed)
      continue;
    const std::string at = text_in(*environment_of(*release, environment), "deployedAt");
    if (found && at <= newest) continue;
    found = release;
    newest = at;
  }
  return found;
}

client::ObjectPtr previous_in(const std::vector<client::ObjectPtr>& releases, const json::value& current,
                              std::string_view environment) {
  client::ObjectPtr found;
  std::string newest;
  for (const auto& release : releases) {
    if (base::get_string(*release, "spec.workload") != base::get_string(current, "spec.workload") ||
        base::get_string(*release, "metadata.name") == base::get_string(current, "metadata.name") ||
        state_in(*release, environment) != state::kSuperseded)
      continue;
    const std::string at = text_in(*environment_of(*release, environment), "deployedAt");
    if (at.empty() || (found && at <= newest)) continue;
    found = release;
    newest = at;
  }
  return found;
}

}  // namespace mainstay::pipelines
