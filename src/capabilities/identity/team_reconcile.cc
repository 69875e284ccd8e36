#include "capabilities/identity/team_reconcile.h"

#include "base/log.h"
#include "base/strings.h"

namespace mainstay::identity {
namespace {
namespace resources = client::resources;

constexpr std::size_t kMaxTeamName = 30;  // leaves room for "-<environment>" within a DNS label

json::value role_binding(const std::string& name, const std::string& ns, const std::string& role,
                         json::array subjects) {
  return {{"apiVersion", "rbac.authorization.k8s.io/v1"},
          {"kind", "RoleBinding"},
          {"metadata", {{"name", name}, {"namespace", ns}}},
          {"roleRef", {{"apiGroup", "rbac.authorization.k8s.io"}, {"kind", "ClusterRole"}, {"name", role}}},
          {"subjects", std::move(subjects)}};
}

json::value namespace_object(const json::value& team, const TeamNamespace& ns) {
  const std::string name = base::get_string(team, "metadata.name");
  json::object labels = {{"mainstay.dev/team", name}};
  if (!ns.environment.empty()) labels["mainstay.dev/environment"] = ns.environment;
  return {
      {"apiVersion", "v1"},
      {"kind", "Namespace"},
      {"metadata",
       {{"name", ns.name}, {"labels", labels}, {"ownerReferences", json::array{reconcile::owner_reference(team)}}}}};
}

// Why the name cannot be a team's; "" where it can.
std::string bad_name(const std::string& name) {
  if (auto label = base::check_dns_label(name); !label) return "metadata.name: " + label.error().message;
  if (name.size() > kMaxTeamName)
    return fmt::format("metadata.name: {} characters, at most {}", name.size(), kMaxTeamName);
  for (const char* reserved : {"default", "library", "mainstay", "docker", "sbom"}) {
    if (name == reserved) return fmt::format("metadata.name: {} is reserved", name);
  }
  if (name.starts_with("kube-")) return "metadata.name: names that begin with kube- are reserved";
  return "";
}

// Another team's namespace, or one made by hand, is never taken over: it would hand its content to this team.
std::string foreign_namespace(const client::Cache& namespaces, const json::value& team,
                              const std::vector<TeamNamespace>& wanted) {
  for (const TeamNamespace& ns : wanted) {
    const client::ObjectPtr present = namespaces.get("", ns.name);
    if (present && base::label(*present, "mainstay.dev/team") != base::get_string(team, "metadata.name"))
      return fmt::format(
          "the namespace {} is there already and does not belong to this team: rename the team or the environment",
          ns.name);
  }
  return "";
}

async::Task<> make_namespaces(client::ApiClient client, json::value team, std::vector<TeamNamespace> wanted) {
  for (const TeamNamespace& ns : wanted) {
    co_await client.apply(resources::kNamespaces, namespace_object(team, ns));
    for (const Wanted& w : wanted_objects(team, ns)) co_await client.apply(w.resource, w.object);
  }
}

struct TeamReconciler {
  client::ApiClient client;
  std::shared_ptr<client::Cache> teams, namespaces;
  const base::Clock& clock;

  async::Task<reconcile::Outcome> operator()(reconcile::Name name) const {
    const client::ObjectPtr team = teams->get("", name.name);
    if (!team) co_return reconcile::Outcome::done();
    reconcile::Pass pass(client, resources::kTeams, team);
    if (pass.deleting()) co_return reconcile::Outcome::done();
    const std::vector<TeamNamespace> wanted = team_namespaces(*team);
    std::string problem = bad_name(name.name);
    if (problem.empty()) problem = foreign_namespace(*namespaces, *team, wanted);
    if (problem.empty()) {
      co_await make_namespaces(client, *team, wanted);
      json::array names;
      for (const TeamNamespace& ns : wanted) names.emplace_back(ns.name);
      base::set(pass.object(), "status.namespaces", std::move(names));
      pass.set_condition("Ready", true, "Reconciled", "its namespaces and roles are in place", clock);
    } else {
      pass.set_condition("Ready", false, "Refused", problem, clock);
    }
    base::set(pass.object(), "status.observedGeneration", base::get_int(*team, "metadata.generation"));
    co_await pass.commit();
    co_return reconcile::Outcome::done();
  }
};

struct NamespaceReconciler {
  client::ApiClient client;
  std::shared_ptr<client::Cache> namespaces;
  std::string ca_pem;

  async::Task<reconcile::Outcome> operator()(reconcile::Name name) const {
    const client::ObjectPtr ns = namespaces->get("", name.name);
    if (!ns || !base::get_string(*ns, "metadata.deletionTimestamp").empty()) co_return reconcile::Outcome::done();
    const json::value account = {{"apiVersion", "v1"},
                                 {"kind", "ServiceAccount"},
                                 {"metadata", {{"name", "default"}, {"namespace", name.name}}}};
    const json::value roots = {{"apiVersion", "v1"},
                               {"kind", "ConfigMap"},
                               {"metadata", {{"name", "kube-root-ca.crt"}, {"namespace", name.name}}},
                               {"data", {{"ca.crt", ca_pem}}}};
    co_await client.apply(resources::kServiceAccounts, account);
    co_await client.apply(resources::kConfigMaps, roots);
    co_return reconcile::Outcome::done();
  }
};

}  // namespace

std::vector<TeamNamespace> team_namespaces(const json::value& team) {
  const std::string name = base::get_string(team, "metadata.name");
  std::vector<TeamNamespace> out = {{name, ""}};
  for (const json::value& environment : base::get_array(team, "spec.environments")) {
    const std::string env = base::get_string(environment, "name");
    out.push_back({name + "-" + env, env});
  }
  if (out.size() == 1) out.push_back({name + "-dev", "dev"});
  return out;
}

std::vector<Wanted> wanted_objects(const json::value& team, const TeamNamespace& ns) {
  const std::string name = base::get_string(team, "metadata.name");
  std::vector<Wanted> out;
  for (const char* role : {"owner", "developer", "viewer"}) {
    const std::string binding = fmt::format("mainstay:{}", role);
    out.push_back({resources::kRoleBindings, role_binding(binding, ns.name, fmt::format("mainstay:team-{}", role),
                                                          {{{"apiGroup", "rbac.authorization.k8s.io"},
                                                            {"kind", "Group"},
                                                            {"name", fmt::format("team:{}:{}", name, role)}}})});
  }
  if (ns.environment.empty()) {
    out.push_back({resources::kServiceAccounts,
                   {{"apiVersion", "v1"},
                    {"kind", "ServiceAccount"},
                    {"metadata", {{"name", "pipeline"}, {"namespace", ns.name}}}}});
    out.push_back({resources::kRoleBindings,
                   role_binding("mainstay:pipeline", ns.name, "mainstay:pipeline",
                                {{{"kind", "ServiceAccount"}, {"name", "pipeline"}, {"namespace", ns.name}}})});
  }
  return out;
}

std::vector<std::string> team_groups(const std::vector<client::ObjectPtr>& teams, std::string_view user) {
  std::vector<std::string> groups;
  for (const client::ObjectPtr& team : teams) {
    for (const json::value& member : base::get_array(*team, "spec.members")) {
      if (base::get_string(member, "user") != user) continue;
      const std::string name = base::get_string(*team, "metadata.name");
      groups.push_back("team:" + name);
      groups.push_back("team:" + name + ":" + base::get_string(member, "role", "developer"));
    }
  }
  return groups;
}

reconcile::Reconcile team_reconcile(client::ApiClient client, std::shared_ptr<client::Cache> teams,
                                    std::shared_ptr<client::Cache> namespaces, const base::Clock& clock) {
  return TeamReconciler{std::move(client), std::move(teams), std::move(namespaces), clock};
}

reconcile::Reconcile namespace_reconcile(client::ApiClient client, std::shared_ptr<client::Cache> namespaces,
                                         std::string ca_pem) {
  return NamespaceReconciler{std::move(client), std::move(namespaces), std::move(ca_pem)};
}

}  // namespace mainstay::identity
