// Admission in environments that need approvals.
#include "base/status.h"
#include "capabilities/pipelines/delivery/verbs.h"

namespace mainstay::pipelines {
namespace {

bool is_platform(const api::UserInfo& user) {
  return user.in_group(api::kMastersGroup) || user.in_group(api::kAdminGroup);
}

bool concerns(const api::AdmissionRequest& request) {
  if (request.object == nullptr || !request.subresource.empty() || request.operation == api::Operation::kDelete)
    return false;
  if (request.type->group.empty()) return request.type->kind == "Pod";
  return request.type->group == "apps" &&
         (request.type->kind == "Deployment" || request.type->kind == "ReplicaSet" ||
          request.type->kind == "StatefulSet" || request.type->kind == "DaemonSet") &&
         !is_platform(request.user);
}

// The stage of a namespace, where it asks for approvals.
std::optional<std::pair<std::string, Stage>> gated(platform::Host& host, const Releases& releases,
                                                   const std::string& ns) {
  const auto object = host.caches().of(client::resources::kNamespaces)->get("", ns);
  if (!object) return std::nullopt;
  const std::string team = base::label(*object, "mainstay.dev/team"),
                    environment = base::label(*object, "mainstay.dev/environment");
  if (team.empty() || environment.empty()) return std::nullopt;
  const Stage stage = stage_to_be(releases.stages(team), environment);
  if (stage.approvals == 0) return std::nullopt;
  return std::pair(team, stage);
}

bool may_run(const Releases& releases, const std::vector<client::ObjectPtr>& known, const Stage& stage,
             std::string_view image) {
  for (const auto& release : known) {
    const std::string digest = base::get_string(*release, "spec.digest");
    if (digest.empty() || !image.ends_with("@" + digest)) continue;
    const json::object* here = environment_of(*release, stage.name);
    // What was approved and deployed once may run again: of a rollback, of a pod made anew.
    if (releases.approved(*release, stage) || (here != nullptr && !text_in(*here, "deployedAt").empty())) return true;
  }
  return false;
}

// A pod that changes keeps the images it was let in with.
bool ran_before(const json::value* old_pod, const char* list, std::string_view image) {
  return old_pod != nullptr && std::ranges::any_of(base::get_array(*old_pod, list), [&](const json::value& container) {
           return base::get_string(container, "image") == image;
         });
}

struct Gate {
  platform::Host& host;
  std::shared_ptr<Releases> releases;
  client::ApiClient client;

  static async::Task<> admit(std::shared_ptr<Gate> self, api::AdmissionRequest& request) {
    const auto place = gated(self->host, *self->releases, request.ns);
    if (!place) co_return;
    const auto& [team, stage] = *place;
    const std::string todo =
        fmt::format("{} needs {} approval{}: deploy to the environment before it, then mainstay release promote",
                    stage.name, stage.approvals, stage.approvals == 1 ? "" : "s");
    if (request.type->kind != "Pod") {
      const json::value* now = base::find(*request.object, "spec.template.spec");
      const json::value* before =
          request.old_object == nullptr ? nullptr : base::find(*request.old_object, "spec.template.spec");
      if (now != nullptr && before != nullptr && *now == *before) co_return;
      throw base::forbidden(
          fmt::format("what runs in {} changes by releases alone, not by hand; {}", request.ns, todo));
    }
    for (const char* list : {"spec.initContainers", "spec.containers"})
      for (const json::value& container : base::get_array(*request.object, list)) {
        const std::string image = base::get_string(container, "image");
        if (ran_before(request.old_object, list, image) ||
            may_run(*self->releases, self->releases->all(team), stage, image))
          continue;
        // The copy may lag behind an approval of a moment ago.
        const auto listed = co_await self->client.list_objects(kReleases, team);
        if (!may_run(*self->releases, listed.items, stage, image))
          throw base::forbidden(fmt::format("image \"{}\" is of no approved release; {}", image, todo));
      }
  }
};

}  // namespace

void add_delivery_gate(platform::Host& host, std::shared_ptr<Releases> releases) {
  auto gate = std::make_shared<Gate>(Gate{host, std::move(releases), host.client("pipelines")});
  host.api().add_admission({.name = "delivery-approvals",
                            .mutating = false,
                            .matches = concerns,
                            .admit = [gate](api::AdmissionRequest& request) { return Gate::admit(gate, request); }});
}

}  // namespace mainstay::pipelines
