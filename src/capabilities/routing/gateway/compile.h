// From Gateways, HTTPRoutes, GRPCRoutes and Ingresses to rules, routes, certificates and what to say of each. Pure.
//
// Whose host: in a team's namespaces hosts below <team>.<domain> are the team's, and those that an administrator grants
// with the annotation mainstay.dev/allowed-hosts on the Team ("shop.example.com, *.shop.example.com"). Other namespaces
// are administrators' own. Of two that claim the same, the older object wins.
#pragma once
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "capabilities/routing/gateway/rules.h"
#include "capabilities/routing/route.h"

namespace mainstay::routing {

// All there is, as the caches have it.
struct World {
  std::vector<client::ObjectPtr> classes, gateways, routes, grpc_routes, ingress_classes, ingresses, grants;
  std::function<client::ObjectPtr(const std::string& ns, const std::string& name)> service, secret, gateway;
  std::function<std::vector<client::ObjectPtr>(const std::string& ns, const std::string& service)> slices;
  std::function<client::ObjectPtr(const std::string& name)> ns, team;
  base::SystemTime now;
};

struct HostCertificate {
  std::vector<std::string> hosts;
  std::string pem;  // certificate, chain and key; "": the platform issues one
  bool operator==(const HostCertificate&) const = default;
};

struct Condition {
  std::string type, reason, message;
  bool status = true;
};
struct ListenerStatus {
  std::string name;
  std::vector<std::string> kinds;  // of routes that it takes
  int attached = 0;
  std::vector<Condition> conditions;
};
struct ParentStatus {
  json::object reference;
  std::vector<Condition> conditions;
};

struct Compiled {
  std::vector<Rule> rules;
  std::map<std::string, Route> routes;                  // by rule key; rules without pods to go to have none
  std::map<std::string, HostCertificate> certificates;  // by name of the file
  std::set<std::string> hosts;
  std::map<std::string, std::vector<ListenerStatus>> gateways;  // by "ns/name"
  std::map<std::string, std::vector<ParentStatus>> http_routes, grpc_routes;
  std::map<std::string, Condition> ingresses;
};

inline constexpr std::string_view kGatewayController = "mainstay.dev/gateway";

// What the Gateway API calls what is served here beyond its core (pkg/features of its repository), sorted.
extern const std::vector<std::string> kSupportedFeatures;

bool may_claim(const World& world, const std::string& ns, const std::string& host, const base::Config& config);
Compiled compile(const World& world, const base::Config& config);

// A Secret of type kubernetes.io/tls as HAProxy reads it (certificate, chain, key), written anew from what was parsed,
// so nothing else is in it. Errors say what is wrong; never the key.
base::Result<std::string> tls_pem(const json::value& secret, base::SystemTime now);

}  // namespace mainstay::routing
