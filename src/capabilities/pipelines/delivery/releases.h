// Release objects: what was built and deployed, where it stands in each environment, who approved it. Made by the
// platform alone; nobody has the right to write them but through the verbs.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "capabilities/pipelines/deploy.h"
#include "platform/host.h"

namespace mainstay::pipelines {

inline const client::Resource kReleases{"mainstay.dev", "v1", "releases", true, "Release"};
inline const client::Resource kEnvironments{"mainstay.dev", "v1", "environments", true, "Environment"};

// What is known of one release in one environment; states are those of schemas/release.yaml.
namespace state {
inline constexpr std::string_view kAwaitingApproval = "AwaitingApproval", kPending = "Pending",
                                  kDeploying = "Deploying", kDeployed = "Deployed", kSuperseded = "Superseded",
                                  kRolledBack = "RolledBack", kFailed = "Failed";
}

// A team's environment as promotion needs to know it.
struct Stage {
  std::string name;
  std::int64_t order = 0, approvals = 0;
  bool auto_promote = false;
};
// What an environment asks for until an administrator says otherwise: one approval where it is called as production is.
std::int64_t default_approvals(std::string_view environment);
// In order of promotion.
std::vector<Stage> stages_of(const std::vector<client::ObjectPtr>& environments);
const Stage* stage_named(const std::vector<Stage>& stages, std::string_view name);
// An environment's namespace may be there before its Environment is known: until then it asks for what it will ask for.
Stage stage_to_be(const std::vector<Stage>& stages, std::string_view name);
const Stage* stage_before(const std::vector<Stage>& stages, std::string_view name);
const Stage* stage_after(const std::vector<Stage>& stages, std::string_view name);

// The part of a release's status about an environment; null where there is none yet.
const json::object* environment_of(const json::value& release, std::string_view environment);
json::object& make_environment(json::value& release, std::string_view environment);
std::string state_in(const json::value& release, std::string_view environment);  // "" where it never was there
// "dev: Deployed, prod: AwaitingApproval", and the condition that tells of failures.
void summarise(json::value& release, base::SystemTime now);
void add_history(json::value& release, const json::object& environment, std::string_view result,
                 std::string_view message, std::string_view now);

// Whether it ran there once, now or before: not where it was overtaken before it came up, nor where it was rolled back.
bool was_deployed(const json::value& release, std::string_view environment);
// Something newer took the release's place before it came up. What has ended meanwhile stays as it ended: of a release
// that serves, a rollback and the next failure have to know.
void supersede_waiting(json::value& release, std::string_view environment, std::string_view message);
// Approvals that count for an environment: of different people, none of them an author, who `may` (still) approve.
using MayApprove = std::function<bool(const std::string& user)>;
std::int64_t approvals_for(const json::value& release, std::string_view environment, const MayApprove& may);
std::string needs_approval(const Stage& stage, std::int64_t missing);  // for the entry's message
// Why this person's approval does not count; "" where it does. `email`: of the person's User object, may be "".
std::string why_not_approver(const json::value& release, std::string_view user, std::string_view email);
// Who is behind a run: who pushed first, then who ran it again; at least one.
std::vector<std::string> actors_of(const json::value& run);
// "web-1a2b3c4-x5k2p": the same for the same workload of the same run.
std::string release_name(std::string_view workload, std::string_view commit, std::string_view run);
// The release deployed in an environment now, and the one a rollback from `current` goes back to; null where there is
// none.
client::ObjectPtr current_in(const std::vector<client::ObjectPtr>& releases, std::string_view workload,
                             std::string_view environment);
client::ObjectPtr previous_in(const std::vector<client::ObjectPtr>& releases, const json::value& current,
                              std::string_view environment);

class Releases {
 public:
  explicit Releases(platform::Host& host);
  struct Recorded {
    std::string name;
    std::string waits;  // why it is not to be deployed now: it needs approval; "" where it may go on
  };
  // Makes the release of a run's deploy step where it is new, and notes that it is being deployed.
  async::Task<Recorded> record(json::value run, Delivery delivery, std::string workload);
  // How a deployment ended. On success, what ran there before is Superseded (or RolledBack, by a rollback).
  async::Task<> settle(reconcile::Name release, std::string environment, std::string url, std::string error);
  // Something newer took its place before it came up: neither a success nor a failure.
  async::Task<> overtaken(reconcile::Name release, std::string environment, std::string message);
  // What ran in the environment before the release that is Deployed there now is so no longer. Safe to repeat.
  async::Task<> supersede_others(json::value current, std::string environment);
  // Reads the release, applies `change` and writes its status where it differs, tried again on conflicts. Throws
  // StatusError 404 where it is gone.
  async::Task<json::value> change(reconcile::Name name, std::function<void(json::value& release)> change);
  std::vector<Stage> stages(const std::string& team) const;
  // Whether it may be deployed there as it stands. Who has left the team since, or the right to approve, counts no
  // more.
  bool approved(const json::value& release, const Stage& stage) const { return missing(release, stage) <= 0; }
  std::int64_t missing(const json::value& release, const Stage& stage) const;  // approvals
  std::vector<client::ObjectPtr> all(const std::string& team) const;
  // What promoting and rolling back deploys: the release's own image and configuration, for this environment.
  static Delivery delivery_of(const json::value& release, std::string environment, std::string host);
  std::string now() const { return base::rfc3339_micro(host_.clock().now()); }

 private:
  async::Task<json::object> spec_of(const json::value& run, const Delivery& delivery, const std::string& workload);
  async::Task<> prune(std::string team, std::string workload);
  platform::Host& host_;
  client::ApiClient client_;
};

}  // namespace mainstay::pipelines
