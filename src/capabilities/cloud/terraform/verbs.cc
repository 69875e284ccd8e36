#include "capabilities/cloud/terraform/verbs.h"

#include <fmt/format.h>

#include "base/status.h"
#include "base/strings.h"
#include "capabilities/cloud/terraform/module.h"
#include "capabilities/cloud/terraform/workspaces.h"

namespace mainstay::cloud {
namespace resources = client::resources;
namespace {
using ContextPtr = std::shared_ptr<api::RequestContext>;

std::string text(const json::value& object, std::string_view path) { return base::get_string(object, path); }

class Verbs {
 public:
  explicit Verbs(platform::Host& host) : host_(host), client_(host.client("terraform")) {}

  async::Task<net::Response> approve(ContextPtr context) { co_return co_await decide(std::move(context), true); }
  async::Task<net::Response> discard(ContextPtr context) { co_return co_await decide(std::move(context), false); }

 private:
  async::Task<net::Response> decide(ContextPtr context, bool yes) {
    const std::string ns = context->params.at("namespace"), name = context->params.at("name"),
                      user = context->user.name;
    const std::string body = co_await context->http->body->read_all(16u << 10);
    std::string comment;
    if (!base::trim(body).empty()) {
      const auto parsed = base::parse_json(body, 8);
      if (!parsed || !parsed->is_object())
        throw base::bad_request("the body is a JSON object: {\"comment\": \"…\"}, or empty");
      const json::value* spec = base::find(*parsed, "spec");
      comment = text(spec != nullptr && spec->is_object() ? *spec : *parsed, "comment");
      if (comment.size() > 1000) throw base::bad_request("comment: at most 1000 bytes");
    }
    std::string email;
    if (const auto known = co_await client_.find(resources::kUsers, "", user)) email = text(*known, "spec.email");
    for (int attempt = 0; attempt < 8; ++attempt) {
      const json::value run = co_await client_.get(kTerraformRuns, ns, name);
      const std::string phase = text(run, "status.phase");
      if (phase != "AwaitingApproval")
        throw base::conflict("terraformruns", name,
                             phase.empty() || phase == "Pending" || phase == "Planning"
                                 ? "there is no plan yet"
                                 : fmt::format("it is {}: no approval is waited for", phase));
      if (yes && text(run, "status.approval") == "independent") {
        const std::string author = text(run, "spec.requestedBy"), written = text(run, "status.commitAuthor");
        if (author == user || (!email.empty() && base::iequals(email, written)))
          throw base::forbidden(
              fmt::format("terraformruns \"{}\" is forbidden: {} asked for it or wrote it; somebody else is to approve",
                          name, user));
      }
      const std::string now = base::rfc3339(host_.clock().now());
      json::object status =
          yes ? json::object{{"phase", "Applying"}, {"pod", ""},         {"message", ""},
                             {"approvedBy", user},  {"approvedAt", now}, {"approvalComment", comment}}
              : json::object{{"phase", "Discarded"}, {"message", comment}, {"discardedBy", user}, {"finishedAt", now}};
      json::value patch =
          json::object{{"metadata", json::object{{"resourceVersion", text(run, "metadata.resourceVersion")}}},
                       {"status", std::move(status)}};
      try {
        co_return net::Response::json(
            200, co_await client_.merge_patch(kTerraformRuns, ns, name, std::move(patch), "status"));
      } catch (const base::StatusError& error) {
        if (!error.is_conflict()) throw;
      }
    }
    throw base::conflict("terraformruns", name, "it changes too often just now; try again");
  }

  platform::Host& host_;
  client::ApiClient client_;
};

bool is_platform(const api::UserInfo& user) {
  return user.in_group(api::kMastersGroup) || user.in_group(api::kAdminGroup);
}

bool of_claim(const json::value& object) {
  for (const json::value& owner : base::get_array(object, "metadata.ownerReferences"))
    if (text(owner, "kind") == "ResourceClaim" && base::get_bool(owner, "controller")) return true;
  return false;
}

// Whose things a workspace may name, and who may say so.
void check_workspace(const platform::Host* host, api::AdmissionRequest& request, client::ObjectPtr space) {
  const json::value& object = *request.object;
  const auto refuse = [&](std::string field, std::string why) {
    return base::invalid("Workspace", request.name, {{std::move(field), "FieldValueInvalid", std::move(why)}});
  };
  if (!text(object, "spec.source.repository").empty() && !base::get_object(object, "spec.source.files").empty())
    throw refuse("spec.source", "either repository or files");
  for (const auto& file : base::get_object(object, "spec.source.files"))
    if (auto ok = check_module_path(file.key()); !ok) throw refuse("spec.source.files", ok.error().message);
  if (const std::string every = text(object, "spec.driftCheck"); !every.empty()) {
    const auto interval = base::parse_duration(every);
    if (!interval || *interval < std::chrono::minutes(1))
      throw refuse("spec.driftCheck", "a duration of at least 1m, as 6h");
  }
  if (is_platform(request.user)) return;
  const auto changed = [&](const char* field) {
    const json::value* now = base::find(object, field);
    const json::value* before = request.old_object == nullptr ? nullptr : base::find(*request.old_object, field);
    return (now == nullptr) != (before == nullptr) || (now != nullptr && *now != *before);
  };
  if (request.old_object != nullptr && of_claim(*request.old_object) &&
      (changed("spec") || changed("metadata.ownerReferences")))
    throw base::forbidden(
        fmt::format("workspaces \"{}\" is forbidden: a ResourceClaim's class says what is in it; change the "
                    "claim's params, or ask the platform team",
                    request.name));
  const std::string team = space ? base::label(*space, "mainstay.dev/team") : "";
  if (const std::string ns = text(object, "spec.source.namespace"); !ns.empty() && ns != team && ns != request.ns)
    throw base::forbidden(
        fmt::format("workspaces \"{}\" is forbidden: spec.source.namespace: the repositories of {} are not "
                    "this team's",
                    request.name, ns));
  if (const std::string image = text(object, "spec.image"); !image.empty() && changed("spec.image"))
    if (auto ok = check_image(image, team, host->config()); !ok)
      throw base::forbidden(
          fmt::format("workspaces \"{}\" is forbidden: spec.image: {}; use an image of this team, of library or of a "
                      "public registry",
                      request.name, ok.error().message));
  for (const json::value& input : base::get_array(object, "spec.secretInputs"))
    if (const std::string ns = text(input, "secretKeyRef.namespace"); !ns.empty() && ns != request.ns)
      throw base::forbidden(fmt::format("workspaces \"{}\" is forbidden: spec.secretInputs: only Secrets of {} itself",
                                        request.name, request.ns));
}

async::Task<> admit_workspace(platform::Host* host, api::AdmissionRequest& request) {
  check_workspace(host, request, host->caches().of(resources::kNamespaces)->get("", request.ns));
  // The author of what will run: whoever changed the spec; nobody says it of themselves.
  const bool same_spec = request.old_object != nullptr &&
                         base::get_object(*request.old_object, "spec") == base::get_object(*request.object, "spec");
  const std::string author = same_spec ? base::annotation(*request.old_object, kAuthorAnnotation)
                             : request.user.in_group(api::kMastersGroup) ? std::string()
                                                                         : request.user.name;
  if (base::annotation(*request.object, kAuthorAnnotation) == author) co_return;
  if (json::value* notes = base::find(*request.object, "metadata.annotations"); author.empty() && notes != nullptr)
    notes->as_object().erase(kAuthorAnnotation);
  if (!author.empty()) base::set(*request.object, {"metadata", "annotations", kAuthorAnnotation}, json::value(author));
}

async::Task<> admit_run(platform::Host* host, api::AdmissionRequest& request) {
  json::value& object = *request.object;
  if (request.old_object != nullptr) {
    if (base::get_object(object, "spec") != base::get_object(*request.old_object, "spec"))
      throw base::invalid("TerraformRun", request.name,
                          {{"spec", "FieldValueForbidden", "cannot be changed; begin another run"}});
    co_return;
  }
  const std::string workspace = text(object, "spec.workspace");
  const auto found = host->caches().of(kWorkspaces)->get(request.ns, workspace);
  if (!request.user.in_group(api::kMastersGroup)) base::set(object, "spec.requestedBy", json::value(request.user.name));
  if (!found) co_return;  // a moment old perhaps: the run itself says so
  if (text(*found, "spec.source.repository").empty() && base::get_object(*found, "spec.source.files").empty())
    throw base::invalid(
        "TerraformRun", request.name,
        {{"spec.workspace", "FieldValueInvalid",
          fmt::format("workspace {} keeps a state only: give it a spec.source to run it here", workspace)}});
  json::array owners{reconcile::owner_reference(*found)};
  base::set(object, "metadata.ownerReferences", std::move(owners));
}

}  // namespace

void add_terraform_verbs(platform::Host& host) {
  auto verbs = std::make_shared<Verbs>(host);
  using Verb = async::Task<net::Response> (Verbs::*)(ContextPtr);
  const auto add = [&](const char* name, const char* summary, Verb verb) {
    host.api().add_subresource(
        {.group = "mainstay.dev",
         .resource = "terraformruns",
         .subresource = name,
         .method = "POST",
         .verb = "create",
         .summary = summary,
         .handler = [verbs, verb](ContextPtr context) { return ((*verbs).*verb)(std::move(context)); }});
  };
  add("approve", "Applies the plan that waits for it", &Verbs::approve);
  add("discard", "Throws the plan away that waits", &Verbs::discard);
  using Admit = async::Task<> (*)(platform::Host*, api::AdmissionRequest&);
  for (const auto& [resource, admit] : {std::pair<client::Resource, Admit>{kWorkspaces, &admit_workspace},
                                        std::pair<client::Resource, Admit>{kTerraformRuns, &admit_run}}) {
    api::AdmissionPlugin plugin;
    plugin.name = resource.plural;
    plugin.mutating = true;
    plugin.matches = [plural = resource.plural](const api::AdmissionRequest& r) {
      return r.type->plural == plural && r.type->group == "mainstay.dev" && r.subresource.empty() &&
             r.operation != api::Operation::kDelete && r.object != nullptr;
    };
    plugin.admit = [host = &host, admit](api::AdmissionRequest& request) { return admit(host, request); };
    host.api().add_admission(std::move(plugin));
  }
}

}  // namespace mainstay::cloud
