#include "capabilities/pipelines/delivery/verbs.h"

#include "base/log.h"
#include "base/status.h"
#include "base/strings.h"
#include "capabilities/pipelines/trigger.h"

namespace mainstay::pipelines {
namespace {

constexpr std::size_t kMaxBody = 16u << 10;
constexpr std::size_t kMaxComment = 1000;
constexpr std::size_t kMaxActors = 50;

std::string environments_of(const std::vector<Stage>& stages) {
  std::vector<std::string> names;
  for (const Stage& stage : stages) names.push_back(stage.name);
  return names.empty() ? "none" : base::join(names, ", ");
}

const Stage& need_stage(const std::vector<Stage>& stages, const std::string& team, const std::string& name) {
  const Stage* stage = stage_named(stages, name);
  if (stage == nullptr)
    throw base::bad_request(
        fmt::format("team {} has no environment \"{}\" (there are: {})", team, name, environments_of(stages)));
  return *stage;
}

// Where the release goes next: after the furthest environment it reached.
std::string next_environment(const std::vector<Stage>& stages, const json::value& release) {
  std::string next;
  for (const Stage& stage : stages)
    if (was_deployed(release, stage.name)) {
      const Stage* after = stage_after(stages, stage.name);
      next = after == nullptr ? "" : after->name;
    }
  return next;
}

}  // namespace

async::Task<DeliveryVerbs::Asked> DeliveryVerbs::read(std::shared_ptr<api::RequestContext> context) {
  Asked out{{context->params.at("namespace"), context->params.at("name")}, context->user.name, "", "", ""};
  const std::string text = co_await context->http->body->read_all(kMaxBody);
  if (base::trim(text).empty()) co_return out;
  const auto body = base::parse_json(text, 8);
  if (!body || !body->is_object())
    throw base::bad_request("the body is a JSON object: {\"environment\": \"prod\"}, or empty");
  // Also as an object with a spec, as clients send that know objects only.
  const json::value* spec = base::find(*body, "spec");
  const json::value& asked = spec != nullptr && spec->is_object() ? *spec : *body;
  out.environment = base::get_string(asked, "environment");
  out.comment = base::get_string(asked, "comment");
  out.to = base::get_string(asked, "to");
  if (out.comment.size() > kMaxComment) throw base::bad_request("comment: at most 1000 bytes");
  co_return out;
}

async::Task<net::Response> DeliveryVerbs::promote(std::shared_ptr<api::RequestContext> context) {
  Asked asked = co_await read(context);
  const auto stages = releases_->stages(asked.name.ns);
  const json::value before = co_await client_.get(kReleases, asked.name.ns, asked.name.name);
  if (asked.environment.empty()) asked.environment = next_environment(stages, before);
  if (asked.environment.empty())
    throw base::conflict("releases", asked.name.name,
                         fmt::format("there is no environment after the ones it is in ({}); name one: environment",
                                     environments_of(stages)));
  const Stage stage = need_stage(stages, asked.name.ns, asked.environment);
  const Stage* earlier = stage_before(stages, stage.name);
  const json::value after = co_await releases_->change(asked.name, [&](json::value& release) {
    if (earlier != nullptr && !was_deployed(release, earlier->name))
      throw base::conflict(
          "releases", asked.name.name,
          fmt::format("it has not been deployed in {}: a release goes from environment to environment", earlier->name));
    const std::string where = state_in(release, stage.name);
    if (where == state::kDeployed || where == state::kDeploying || where == state::kPending) return;
    const std::int64_t missing = releases_->missing(release, stage);
    const bool free = missing <= 0;
    json::object& entry = make_environment(release, stage.name);
    entry["state"] = free ? state::kPending : state::kAwaitingApproval;
    entry["action"] = "promote";
    entry["requestedBy"] = asked.user;
    entry["requestedAt"] = releases_->now();
    entry["replaces"] = "";
    entry["message"] = free ? "" : needs_approval(stage, missing);
  });
  co_return net::Response::json(200, after);
}

async::Task<std::string> DeliveryVerbs::attest(json::value release, Asked asked, std::string at) {
  const std::string digest = base::get_string(release, "spec.digest"),
                    repository = base::get_string(release, "spec.imageRepository");
  auto attester = host_.find<platform::Attester>();
  if (!attester) throw base::unavailable("approvals are signed, and nobody signs on this platform");
  // Without an image of its own there is nothing to attach a statement to: the release's status alone records it.
  if (digest.empty() || repository.empty()) co_return "";
  platform::ApprovalRecord record;
  record.team = asked.name.ns;
  record.release = asked.name.name;
  record.environment = asked.environment;
  record.workload = base::get_string(release, "spec.workload");
  record.repository = base::get_string(release, "spec.repository");
  record.commit = base::get_string(release, "spec.commit");
  record.configuration = base::get_string(release, "spec.configuration.digest");
  record.image_repository = repository;
  record.image_digest = digest;
  record.approver = asked.user;
  record.comment = asked.comment;
  record.approved_at = std::move(at);
  auto made = co_await attester->approve(std::move(record));
  if (!made) throw base::from_error(made.error());
  co_return *std::move(made);
}

async::Task<net::Response> DeliveryVerbs::approve(std::shared_ptr<api::RequestContext> context) {
  Asked asked = co_await read(context);
  const auto stages = releases_->stages(asked.name.ns);
  const json::value release = co_await client_.get(kReleases, asked.name.ns, asked.name.name);
  if (asked.environment.empty())
    for (const Stage& stage : stages)
      if (asked.environment.empty() && !releases_->approved(release, stage)) asked.environment = stage.name;
  if (asked.environment.empty())
    throw base::conflict("releases", asked.name.name, "no environment waits for an approval of it");
  static_cast<void>(need_stage(stages, asked.name.ns, asked.environment));
  std::string email;
  if (const auto user = co_await client_.find(client::resources::kUsers, "", asked.user))
    email = base::get_string(*user, "spec.email");
  if (std::string why = why_not_approver(release, asked.user, email); !why.empty()) throw base::forbidden(why);
  for (const json::value& known : base::get_array(release, "status.approvals"))
    if (base::get_string(known, "environment") == asked.environment && base::get_string(known, "by") == asked.user)
      co_return net::Response::json(200, release);  // once is enough
  const std::string at = releases_->now();
  // Signed first: what the status says can be shown.
  const std::string attestation = co_await attest(release, asked, at);
  const json::value after = co_await releases_->change(asked.name, [&](json::value& object) {
    json::value* list = base::find(object, "status.approvals");
    if (list == nullptr || !list->is_array()) {
      base::set(object, "status.approvals", json::array());
      list = base::find(object, "status.approvals");
    }
    for (const json::value& known : list->as_array())
      if (base::get_string(known, "environment") == asked.environment && base::get_string(known, "by") == asked.user)
        return;
    json::object approval{{"environment", asked.environment}, {"by", asked.user}, {"at", at}};
    if (!asked.comment.empty()) approval["comment"] = asked.comment;
    if (!attestation.empty()) approval["attestation"] = attestation;
    list->as_array().push_back(std::move(approval));
  });
  co_return net::Response::json(200, after);
}

async::Task<net::Response> DeliveryVerbs::rollback(std::shared_ptr<api::RequestContext> context) {
  Asked asked = co_await read(context);
  if (asked.environment.empty()) throw base::bad_request("environment: which one is to go back?");
  const auto stages = releases_->stages(asked.name.ns);
  const Stage stage = need_stage(stages, asked.name.ns, asked.environment);
  const json::value leaving = co_await client_.get(kReleases, asked.name.ns, asked.name.name);
  const auto listed = co_await client_.list_objects(kReleases, asked.name.ns);
  const auto current = current_in(listed.items, base::get_string(leaving, "spec.workload"), stage.name);
  if (!current || base::get_string(*current, "metadata.name") != asked.name.name)
    throw base::conflict(
        "releases", asked.name.name,
        current ? fmt::format("in {} runs {}: roll that back", stage.name, base::get_string(*current, "metadata.name"))
                : fmt::format("it is not deployed in {}", stage.name));
  if (asked.to.empty()) {
    const auto previous = previous_in(listed.items, leaving, stage.name);
    if (!previous)
      throw base::conflict(
          "releases", asked.name.name,
          fmt::format("nothing was deployed in {} before it: there is nothing to go back to", stage.name));
    asked.to = base::get_string(*previous, "metadata.name");
  }
  const json::value after = co_await releases_->change({asked.name.ns, asked.to}, [&](json::value& release) {
    const json::object* there = environment_of(release, stage.name);
    if (base::get_string(release, "spec.workload") != base::get_string(leaving, "spec.workload") || there == nullptr ||
        text_in(*there, "deployedAt").empty())
      throw base::conflict("releases", asked.to, fmt::format("it was never deployed in {}", stage.name));
    const std::string where = text_in(*there, "state");
    if (where == state::kDeployed || where == state::kPending || where == state::kDeploying) return;
    json::object& entry = make_environment(release, stage.name);
    entry["state"] = state::kPending;
    entry["action"] = "rollback";
    entry["replaces"] = asked.name.name;
    entry["requestedBy"] = asked.user;
    entry["requestedAt"] = releases_->now();
    entry["message"] = "";
  });
  co_return net::Response::json(200, after);
}

async::Task<net::Response> DeliveryVerbs::rerun(std::shared_ptr<api::RequestContext> context) {
  const Asked asked = co_await read(context);
  const json::value run = co_await client_.get(client::resources::kWorkflowRuns, asked.name.ns, asked.name.name);
  if (!is_final(base::get_string(run, "status.phase")))
    throw base::conflict("workflowruns", asked.name.name, "it has not ended yet");
  const std::string repository_name = base::get_string(run, "spec.repository");
  const json::value repository = co_await client_.get(client::resources::kRepositories, asked.name.ns, repository_name);
  std::int64_t number = 1;
  const auto listed = co_await client_.list_objects(client::resources::kWorkflowRuns, asked.name.ns);
  for (const auto& other : listed.items)
    if (base::get_string(*other, "spec.repository") == repository_name)
      number = std::max(number, base::get_int(*other, "spec.number") + 1);
  const std::string commit = base::get_string(run, "spec.commit");
  const std::string name =
      run_name({asked.name.ns, repository_name}, base::get_string(run, "spec.ref"), commit,
               fmt::format("again {} {}", asked.name.name, number), base::get_string(run, "spec.workflow"));
  json::object spec = base::get_object(run, "spec");
  spec.erase("cancel");
  // The runs before it may be deleted: what it says of those behind it does not depend on them.
  std::vector<std::string> actors = actors_of(run);
  if (std::ranges::find(actors, asked.user) == actors.end()) actors.push_back(asked.user);
  if (actors.size() > kMaxActors)
    throw base::conflict("workflowruns", asked.name.name, "it was run again by too many people: push the commit anew");
  spec["actors"] = json::value_from(actors);
  spec["pushedAt"] = base::get_string(run, "spec.pushedAt", base::get_string(run, "metadata.creationTimestamp"));
  spec["actor"] = asked.user;
  spec["rerunOf"] = asked.name.name;
  spec["number"] = number;
  json::value object =
      json::object{{"apiVersion", "mainstay.dev/v1"},
                   {"kind", "WorkflowRun"},
                   {"metadata", json::object{{"name", name},
                                             {"namespace", asked.name.ns},
                                             {"labels", json::object{{"mainstay.dev/repository", repository_name},
                                                                     {"mainstay.dev/commit", commit}}},
                                             {"ownerReferences", json::array{reconcile::owner_reference(repository)}}}},
                   {"spec", std::move(spec)}};
  const json::value made = co_await client_.create(client::resources::kWorkflowRuns, asked.name.ns, std::move(object));
  base::log::info("pipelines", "{}/{}: made again by {} as {}", asked.name.ns, asked.name.name, asked.user, name);
  co_return net::Response::json(201, made);
}

}  // namespace mainstay::pipelines
