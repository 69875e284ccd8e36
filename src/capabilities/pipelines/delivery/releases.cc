#include "capabilities/pipelines/delivery/releases.h"

#include <algorithm>

#include "base/log.h"
#include "base/status.h"
#include "base/strings.h"
#include "crypto/digest.h"
#include "platform/interfaces/people.h"

namespace mainstay::pipelines {
namespace {

constexpr int kTries = 8;
constexpr std::size_t kKeep = 40;       // releases of a workload that are not in use anywhere
constexpr std::size_t kKeepMost = 400;  // of a workload, whatever their age
constexpr std::chrono::hours kKeepFor{24 * 31};

bool in_use(const json::value& release) {
  for (const json::value& entry : base::get_array(release, "status.environments")) {
    const std::string where = base::get_string(entry, "state");
    if (where != state::kSuperseded && where != state::kFailed && where != state::kRolledBack) return true;
  }
  return false;
}

}  // namespace

Releases::Releases(platform::Host& host) : host_(host), client_(host.client("pipelines")) {}

std::vector<Stage> Releases::stages(const std::string& team) const {
  return stages_of(host_.caches().of(kEnvironments)->list(team));
}

std::vector<client::ObjectPtr> Releases::all(const std::string& team) const {
  return host_.caches().of(kReleases)->list(team);
}

std::int64_t Releases::missing(const json::value& release, const Stage& stage) const {
  if (stage.approvals == 0) return 0;
  const auto people = host_.find<platform::People>();
  const api::Attributes right{"create",
                              "mainstay.dev",
                              "releases",
                              "approve",
                              base::get_string(release, "metadata.namespace"),
                              base::get_string(release, "metadata.name"),
                              ""};
  const auto may = [&](const std::string& name) {
    const auto person = people ? people->person(name) : base::fail(base::ErrorCode::kUnavailable, "");
    return person && host_.api().authorizer().authorize(*person, right).allowed;
  };
  return stage.approvals - approvals_for(release, stage.name, may);
}

async::Task<json::value> Releases::change(reconcile::Name name, std::function<void(json::value& release)> change) {
  for (int attempt = 1;; ++attempt) {
    const json::value before = co_await client_.get(kReleases, name.ns, name.name);
    json::value after = before;
    change(after);
    if (after == before) co_return after;
    summarise(after, host_.clock().now());
    try {
      co_return co_await client_.update_status(kReleases, std::move(after));
    } catch (const base::StatusError& error) {
      if (!error.is_conflict() || attempt == kTries) throw;
    }
  }
}

async::Task<json::object> Releases::spec_of(const json::value& run, const Delivery& delivery,
                                            const std::string& workload) {
  const DeployTarget& target = delivery.target;
  json::array authors;
  const auto add = [&](const std::string& user) {
    const json::value value = json::string(user);
    if (!user.empty() && std::ranges::find(authors, value) == authors.end()) authors.push_back(value);
  };
  // A run made again has more people behind it: who pushed, and who asked for it.
  for (const std::string& actor : actors_of(run)) add(actor);
  json::object spec{
      {"workload", workload},
      {"repository", target.repository},
      {"commit", target.commit},
      {"ref", base::get_string(run, "spec.ref")},
      {"run", target.run},
      {"pushedAt", base::get_string(run, "spec.pushedAt", base::get_string(run, "metadata.creationTimestamp"))},
      {"author", actors_of(run).front()}};
  if (auto git = host_.find<platform::GitReader>()) {
    if (const auto commit = co_await git->commit(target.team, target.repository, target.commit)) {
      spec["commitAuthor"] = json::object{{"name", commit->author_name}, {"email", commit->author_email}};
      spec["subject"] = commit->subject.substr(0, 200);
    }
    const auto wrote =
        co_await git->authors(target.team, target.repository, base::get_string(run, "spec.before"), target.commit);
    // Without it anybody could approve what they wrote: rather no release than one of nobody.
    if (!wrote) throw base::from_error(wrote.error());
    spec["authorEmails"] = json::value_from(*wrote);
    for (const auto& user : host_.caches().of(client::resources::kUsers)->list())
      if (std::ranges::find(*wrote, base::lower(base::get_string(*user, "spec.email"))) != wrote->end())
        add(base::get_string(*user, "metadata.name"));
  }
  spec["authors"] = std::move(authors);
  if (const auto at = target.image.find('@'); at != std::string::npos) {
    const std::string digest = target.image.substr(at + 1);
    spec["image"] = target.image;
    spec["digest"] = digest;
    for (const json::value& image : base::get_array(run, "status.images")) {
      if (base::get_string(image, "digest") != digest) continue;
      spec["imageRepository"] = base::get_string(image, "repository");
      spec["sbom"] = base::get_string(image, "sbom");
      spec["provenance"] = base::get_string(image, "provenance");
    }
  }
  if (target.exposed_port > 0) spec["exposedPort"] = target.exposed_port;
  spec["configuration"] =
      json::object{{"file", delivery.file},
                   {"text", delivery.score},
                   {"digest", "sha256:" + crypto::sha256_hex(fmt::format("{}\n{}", delivery.file, delivery.score))}};
  co_return spec;
}

async::Task<Releases::Recorded> Releases::record(json::value run, Delivery delivery, std::string workload) {
  const DeployTarget& target = delivery.target;
  const std::string name = release_name(workload, target.commit, target.run);
  const Stage stage = stage_to_be(stages(target.team), target.environment);
  if (!co_await client_.find(kReleases, target.team, name)) {
    const auto repository = co_await client_.find(client::resources::kRepositories, target.team, target.repository);
    json::object metadata{{"name", name},
                          {"namespace", target.team},
                          {"labels", json::object{{"mainstay.dev/workload", workload},
                                                  {"mainstay.dev/repository", target.repository},
                                                  {"mainstay.dev/commit", target.commit},
                                                  {"mainstay.dev/workflow-run", target.run}}}};
    if (repository) metadata["ownerReferences"] = json::array{reconcile::owner_reference(*repository)};
    json::value object = json::object{{"apiVersion", "mainstay.dev/v1"},
                                      {"kind", "Release"},
                                      {"metadata", std::move(metadata)},
                                      {"spec", co_await spec_of(run, delivery, workload)}};
    try {
      co_await client_.create(kReleases, target.team, std::move(object));
    } catch (const base::StatusError& error) {
      if (!error.is_already_exists()) throw;
    }
    co_await prune(target.team, workload);
  }
  Recorded out{name, ""};
  co_await change({target.team, name}, [&](json::value& release) {
    json::object& entry = make_environment(release, target.environment);
    const bool waits = !approved(release, stage);
    entry["replaces"] = "";
    out.waits = waits ? fmt::format(
                            "release {} waits for {} approval{} for {}: mainstay release approve {} --team {} "
                            "--env {}",
                            name, stage.approvals, stage.approvals == 1 ? "" : "s", target.environment, name,
                            target.team, target.environment)
                      : "";
    if (waits && text_in(entry, "state") == state::kAwaitingApproval) return;
    entry["state"] = waits ? state::kAwaitingApproval : state::kDeploying;
    entry["action"] = waits ? "promote" : "deploy";
    entry["requestedBy"] = base::get_string(run, "spec.actor");
    entry["requestedAt"] = now();
    entry["message"] = "";
  });
  co_return out;
}

async::Task<> Releases::settle(reconcile::Name name, std::string environment, std::string url, std::string error) {
  const json::value release = co_await change(name, [&](json::value& release) {
    json::object& entry = make_environment(release, environment);
    // Of a run that was cancelled two may wait for the rollout: the first word counts.
    if (text_in(entry, "state") != state::kDeploying) return;
    if (error.empty()) {
      entry["state"] = state::kDeployed;
      entry["deployedAt"] = now();
      entry["url"] = url;
      entry["message"] = "";
    } else {
      entry["state"] = state::kFailed;
      entry["message"] = error.substr(0, 2048);
    }
    add_history(release, entry, error.empty() ? "Succeeded" : "Failed", error, now());
  });
  if (error.empty()) co_await supersede_others(release, environment);
}

async::Task<> Releases::overtaken(reconcile::Name name, std::string environment, std::string message) {
  co_await change(name, [&](json::value& release) { supersede_waiting(release, environment, message); });
}

async::Task<> Releases::supersede_others(json::value current, std::string environment) {
  const std::string team = base::get_string(current, "metadata.namespace"),
                    name = base::get_string(current, "metadata.name"),
                    workload = base::get_string(current, "spec.workload");
  const json::object* here = environment_of(current, environment);
  if (here == nullptr || text_in(*here, "state") != state::kDeployed) co_return;
  const std::string since = text_in(*here, "deployedAt");
  const bool rollback = text_in(*here, "action") == "rollback";
  const std::string replaces = text_in(*here, "replaces");
  const auto listed = co_await client_.list_objects(kReleases, team);
  for (const auto& other : listed.items) {
    const std::string other_name = base::get_string(*other, "metadata.name");
    if (other_name == name || base::get_string(*other, "spec.workload") != workload ||
        state_in(*other, environment) != state::kDeployed ||
        text_in(*environment_of(*other, environment), "deployedAt") > since)
      continue;
    const bool left = rollback && other_name == replaces;
    co_await change({team, other_name}, [&](json::value& release) {
      json::object& entry = make_environment(release, environment);
      if (text_in(entry, "state") != state::kDeployed || text_in(entry, "deployedAt") > since) return;
      entry["state"] = left ? state::kRolledBack : state::kSuperseded;
      if (left) add_history(release, entry, "RolledBack", "", now());
    });
  }
}

Delivery Releases::delivery_of(const json::value& release, std::string environment, std::string host) {
  Delivery out;
  out.target.team = base::get_string(release, "metadata.namespace");
  out.target.environment = std::move(environment);
  out.target.repository = base::get_string(release, "spec.repository");
  out.target.commit = base::get_string(release, "spec.commit");
  out.target.run = base::get_string(release, "spec.run");
  out.target.image = base::get_string(release, "spec.image");
  out.target.exposed_port = base::get_int(release, "spec.exposedPort");
  out.target.host = std::move(host);
  out.file = base::get_string(release, "spec.configuration.file");
  out.score = base::get_string(release, "spec.configuration.text");
  if (const json::object* entry = environment_of(release, out.target.environment);
      entry != nullptr && text_in(*entry, "action") != "deploy")
    out.target.requested_at = text_in(*entry, "requestedAt");
  return out;
}

async::Task<> Releases::prune(std::string team, std::string workload) {
  std::vector<client::ObjectPtr> mine;
  for (const auto& release : all(team))
    if (base::get_string(*release, "spec.workload") == workload) mine.push_back(release);
  std::ranges::sort(mine, std::ranges::greater(), [](const client::ObjectPtr& r) {
    return base::get_string(*r, "metadata.creationTimestamp") + base::get_string(*r, "metadata.name");
  });
  const std::string oldest = base::rfc3339(host_.clock().now() - kKeepFor);
  for (std::size_t i = kKeep; i < mine.size(); ++i) {
    // The figures of delivery look a month back.
    const bool young = base::get_string(*mine[i], "metadata.creationTimestamp") > oldest;
    // What went beyond the first environment may be rolled back to.
    const bool went_on = base::get_array(*mine[i], "status.environments").size() > 1;
    if (in_use(*mine[i]) || ((young || went_on) && i < kKeepMost)) continue;
    co_await client_.remove(kReleases, team, base::get_string(*mine[i], "metadata.name"));
  }
}

}  // namespace mainstay::pipelines
