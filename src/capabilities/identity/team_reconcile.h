// What follows from a Team: pure functions that say which objects there should be, and the pass that makes it so.
#pragma once
#include <string>
#include <vector>

#include "client/cache.h"
#include "client/client.h"
#include "reconcile/controller.h"

namespace mainstay::identity {
namespace json = boost::json;

struct TeamNamespace {
  std::string name, environment;  // environment empty for the team's own
};
// The team's own namespace first, then one an environment in the Team's order.
std::vector<TeamNamespace> team_namespaces(const json::value& team);

// The objects a namespace of the team holds: role bindings, and in the team's own the pipeline's service account.
struct Wanted {
  client::Resource resource;
  json::value object;
};
std::vector<Wanted> wanted_objects(const json::value& team, const TeamNamespace& ns);

// Groups of a user by the teams given: "team:shop", "team:shop:developer".
std::vector<std::string> team_groups(const std::vector<client::ObjectPtr>& teams, std::string_view user);

reconcile::Reconcile team_reconcile(client::ApiClient client, std::shared_ptr<client::Cache> teams,
                                    std::shared_ptr<client::Cache> namespaces, const base::Clock& clock);

// Each namespace gets the service account `default` and the ConfigMap kube-root-ca.crt, as pods expect.
reconcile::Reconcile namespace_reconcile(client::ApiClient client, std::shared_ptr<client::Cache> namespaces,
                                         std::string ca_pem);

}  // namespace mainstay::identity
