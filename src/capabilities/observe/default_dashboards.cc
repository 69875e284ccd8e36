#include "capabilities/observe/default_dashboards.h"

#include <fmt/format.h>

#include "base/log.h"
#include "base/status.h"
#include "capabilities/observe/scope.h"
#include "reconcile/controller.h"

namespace mainstay::observe {
namespace {
namespace json = boost::json;
using reconcile::Name;
using reconcile::Outcome;

constexpr std::string_view kTemplates = "kube-system", kPrefix = "workload-";
constexpr std::size_t kMaxName = 253;  // of any object

// Grafana's model of a variable that nobody chooses.
json::object constant(const std::string& name, const std::string& value) {
  return {{"name", name},
          {"type", "constant"},
          {"hide", 2},
          {"query", value},
          {"current", {{"text", value}, {"value", value}, {"selected", true}}},
          {"options", json::array{json::object{{"text", value}, {"value", value}, {"selected", true}}}}};
}

class DefaultDashboards {
 public:
  explicit DefaultDashboards(platform::Host& host)
      : client(host.client("default-dashboards")),
        dashboards(host.caches().of(kDashboards)),
        namespaces(host.caches().of(client::resources::kNamespaces)),
        deployments(host.caches().of(client::resources::kDeployments)) {}

  client::ApiClient client;
  std::shared_ptr<client::Cache> dashboards, namespaces, deployments;

  // Makes what is not there; what is there, whoever made it, stays as it is.
  async::Task<> make(std::string kind, Name name, client::ObjectPtr owner, std::map<std::string, std::string> constants,
                     std::string subject) {
    const client::ObjectPtr made_from = dashboards->get(kTemplates, kind);
    if (!made_from || dashboards->get(name.ns, name.name)) co_return;
    const json::value* model = base::find(*made_from, "spec");
    auto spec = dashboard_from(model ? *model : json::value(), constants, subject);
    if (!spec) {
      base::log::warn("dashboards", "Dashboard {}/{}: {}: none is made from it", kTemplates, kind,
                      spec.error().message);
      co_return;
    }
    try {
      co_await client.create(
          kDashboards, name.ns,
          json::object{{"apiVersion", "mainstay.dev/v1"},
                       {"kind", "Dashboard"},
                       {"metadata",
                        {{"name", name.name},
                         {"namespace", name.ns},
                         {"labels", {{"app.kubernetes.io/managed-by", "mainstay"}, {"mainstay.dev/dashboard", kind}}},
                         {"ownerReferences", json::array{reconcile::owner_reference(*owner, false)}}}},
                       {"spec", *std::move(spec)}});
    } catch (const base::StatusError& error) {
      if (!error.is_already_exists()) throw;
    }
  }
};
using Self = std::shared_ptr<DefaultDashboards>;

bool leaving(const json::value& object) { return !base::get_string(object, "metadata.deletionTimestamp").empty(); }

async::Task<Outcome> reconcile_team(Self self, Name name) {
  const client::ObjectPtr ns = self->namespaces->get("", name.name);
  // A team's environments carry its label too: the team's own namespace is that of its name.
  if (ns && !leaving(*ns) && base::label(*ns, "mainstay.dev/team") == name.name)
    co_await self->make("team", {name.name, "team"}, ns, {{"team", name.name}}, name.name);
  co_return Outcome::done();
}

async::Task<Outcome> reconcile_workload(Self self, Name name) {
  const client::ObjectPtr deployment = self->deployments->get(name.ns, name.name),
                          ns = self->namespaces->get("", name.ns);
  if (!deployment || !ns || leaving(*deployment) || leaving(*ns)) co_return Outcome::done();
  const std::string board = fmt::format("{}{}", kPrefix, name.name), team = base::label(*ns, "mainstay.dev/team");
  if (team.empty() || board.size() > kMaxName) co_return Outcome::done();
  // What its pods' series and lines are named by.
  const json::value* pods = base::find(*deployment, "spec.template");
  std::string workload = pods ? base::label(*pods, "app.kubernetes.io/name") : "";
  if (workload.empty()) workload = name.name;
  co_await self->make("workload", {name.ns, board}, deployment, {{"namespace", name.ns}, {"workload", workload}},
                      fmt::format("{}/{}", name.ns, name.name));
  co_return Outcome::done();
}

std::vector<Name> names_of(const client::Cache& cache, const std::string& ns) {
  std::vector<Name> out;
  for (const client::ObjectPtr& object : cache.list(ns))
    out.push_back({base::get_string(*object, "metadata.namespace"), base::get_string(*object, "metadata.name")});
  return out;
}

// Whom a Dashboard's coming or going concerns: one's own, or where it is a template, all.
std::vector<Name> teams_of(const client::Cache& namespaces, const json::value& dashboard) {
  const std::string ns = base::get_string(dashboard, "metadata.namespace");
  if (base::get_string(dashboard, "metadata.name") != "team") return {};
  return ns == kTemplates ? names_of(namespaces, "") : std::vector<Name>{{"", ns}};
}
std::vector<Name> workloads_of(const client::Cache& deployments, const json::value& dashboard) {
  const std::string ns = base::get_string(dashboard, "metadata.namespace"),
                    name = base::get_string(dashboard, "metadata.name");
  if (ns == kTemplates) return name == "workload" ? names_of(deployments, "") : std::vector<Name>{};
  if (!name.starts_with(kPrefix)) return {};
  return {{ns, name.substr(kPrefix.size())}};
}

}  // namespace

base::Result<json::object> dashboard_from(const json::value& template_spec,
                                          const std::map<std::string, std::string>& constants,
                                          const std::string& subject) {
  json::value model = template_spec;
  if (const std::string text = base::get_string(template_spec, "json"); !text.empty()) {
    auto parsed = base::parse_json(text, 32);
    if (!parsed) return std::unexpected(parsed.error());
    model = *std::move(parsed);
  }
  if (!model.is_object()) return base::fail(base::ErrorCode::kInvalid, "the template is no JSON object");
  json::array variables;
  for (const auto& [name, value] : constants) variables.push_back(constant(name, value));
  for (const json::value& variable : base::get_array(model, "templating.list")) {
    if (!constants.contains(base::get_string(variable, "name"))) variables.push_back(variable);
  }
  const std::string title = base::get_string(model, "title");
  json::object& out = model.as_object();
  out["title"] = title.empty() ? subject : title + " " + subject;
  // Grafana tells dashboards apart by their uid: none may have its template's.
  out.erase("uid");
  out.erase("id");
  out["templating"] = json::object{{"list", std::move(variables)}};
  return std::move(out);
}

void add_default_dashboards(platform::Host& host) {
  const auto self = std::make_shared<DefaultDashboards>(host);
  reconcile::ControllerOptions teams{"team-dashboards", client::resources::kNamespaces, {}, 1};
  teams.also.push_back(
      {kDashboards, [cache = self->namespaces](const json::value& board) { return teams_of(*cache, board); }});
  host.add_controller(std::move(teams), [self](Name name) { return reconcile_team(self, std::move(name)); });
  reconcile::ControllerOptions workloads{"workload-dashboards", client::resources::kDeployments, {}, 1};
  workloads.also.push_back(
      {kDashboards, [cache = self->deployments](const json::value& board) { return workloads_of(*cache, board); }});
  workloads.also.push_back({client::resources::kNamespaces, [cache = self->deployments](const json::value& ns) {
                              return names_of(*cache, base::get_string(ns, "metadata.name"));
                            }});
  host.add_controller(std::move(workloads), [self](Name name) { return reconcile_workload(self, std::move(name)); });
}

}  // namespace mainstay::observe
