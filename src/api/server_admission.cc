// Admission: the capabilities' plugins, and RBAC's guard against granting what one does not have.
#include <fmt/format.h>

#include "api/server_impl.h"
#include "base/status.h"

namespace mainstay::api {
namespace {
namespace json = base::json;

constexpr std::string_view kRbac = "rbac.authorization.k8s.io";

bool same(const json::value* old_object, const json::value& object, std::string_view field) {
  const json::value* before = old_object ? base::find(*old_object, field) : nullptr;
  const json::value* after = base::find(object, field);
  return (!before && !after) || (before && after && *before == *after);
}

}  // namespace

async::Task<> Server::Impl::admit(AdmissionRequest& request) const {
  if (request.operation == Operation::kCreate) {
    // Server-side apply creates where nothing is there: the right to patch alone does not go so far.
    const Attributes create{"create", request.type->group, request.type->plural, "", request.ns, request.name, ""};
    const Decision decision = authorizer.authorize(request.user, create);
    if (!decision.allowed) throw base::forbidden(forbidden_message(request.user, create, decision.reason));
  }
  for (const auto& plugin : admission) {
    if (!plugin.matches || plugin.matches(request)) co_await plugin.admit(request);
  }
  if (request.object && request.type->group == kRbac) guard_rbac(request);
}

void Server::Impl::guard_rbac(const AdmissionRequest& request) const {
  const json::value& object = *request.object;
  const std::string name = request.name.empty() ? base::get_string(object, "metadata.name") : request.name;
  auto refuse = [&](const base::StatusError& error) {
    return base::forbidden(fmt::format("{} \"{}\" is forbidden: {}", request.type->qualified(), name, error.message()));
  };
  try {
    if (request.type->kind.ends_with("Binding")) {
      const json::value* role = base::find(object, "roleRef");
      if (!role) return;  // validation says so
      if (same(request.old_object, object, "roleRef") && same(request.old_object, object, "subjects")) return;
      authorizer.check_may_bind(request.user, request.ns, *role);
      return;
    }
    if (same(request.old_object, object, "rules") && same(request.old_object, object, "aggregationRule")) return;
    const Attributes escalate{"escalate", std::string(kRbac), request.type->plural, "", request.ns, name, ""};
    if (authorizer.authorize(request.user, escalate).allowed) return;
    // What an aggregating role will hold cannot be known.
    if (base::find(object, "aggregationRule")) {
      authorizer.check_no_escalation(
          request.user, request.ns,
          json::array{json::object{
              {"verbs", json::array{"*"}}, {"apiGroups", json::array{"*"}}, {"resources", json::array{"*"}}}});
    }
    authorizer.check_no_escalation(request.user, request.ns, base::get_array(object, "rules"));
  } catch (const base::StatusError& error) {
    throw refuse(error);
  }
}

}  // namespace mainstay::api
