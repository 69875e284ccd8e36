#include "capabilities/observe/scope.h"

#include <fmt/format.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/status.h"
#include "base/strings.h"

namespace mainstay::observe {

bool Scope::sees(std::string_view ns) const {
  return all || (!ns.empty() && std::find(namespaces.begin(), namespaces.end(), ns) != namespaces.end());
}

Scope scope_of(const api::Authorizer& authorizer, const api::UserInfo& user, const client::Cache& namespaces,
               std::string_view resource, std::string_view subresource) {
  const auto may = [&](const std::string& ns) {
    return authorizer
        .authorize(user, {"get", "mainstay.dev", std::string(resource), std::string(subresource), ns, "", ""})
        .allowed;
  };
  Scope scope;
  scope.all = may("");
  if (scope.all) return scope;
  for (const client::ObjectPtr& object : namespaces.list()) {
    const std::string name = base::get_string(*object, "metadata.name");
    // A namespace's name goes into a regular expression: only what the API lets through as one.
    if (base::check_dns_label(name) && may(name)) scope.namespaces.push_back(name);
  }
  if (scope.namespaces.empty())
    throw base::forbidden(
        fmt::format("{} may not read {} of any namespace (group mainstay.dev, verb get): ask a team's "
                    "owner to make you a member",
                    user.name, resource));
  return scope;
}

std::string series_filter(const Scope& scope) {
  if (scope.all) return "";
  return fmt::format("{{namespace=~\"{}\"}}", base::join(scope.namespaces, "|"));
}

std::int64_t made_us(const boost::json::value& ns) {
  const auto made = base::parse_rfc3339(base::get_string(ns, "metadata.creationTimestamp"));
  return made ? std::chrono::duration_cast<std::chrono::microseconds>(made->time_since_epoch()).count() : 0;
}

std::string team_of(const client::Cache& namespaces, std::string_view ns) {
  const client::ObjectPtr object = namespaces.get("", ns);
  return object ? base::label(*object, "mainstay.dev/team") : "";
}

std::string workload_of(const boost::json::value& pod) {
  if (std::string name = base::label(pod, "app.kubernetes.io/name"); !name.empty()) return name;
  for (const auto& owner : base::get_array(pod, "metadata.ownerReferences")) {
    const std::string kind = base::get_string(owner, "kind");
    std::string name = base::get_string(owner, "name");
    // A Deployment's ReplicaSet is called <deployment>-<hash>.
    if (kind == "ReplicaSet" && name.rfind('-') != std::string::npos) return name.substr(0, name.rfind('-'));
    if (!name.empty()) return name;
  }
  return base::get_string(pod, "metadata.name");
}

}  // namespace mainstay::observe
