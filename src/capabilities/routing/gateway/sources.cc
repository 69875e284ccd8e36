// Routes and Ingresses, read into rules.
#include <fmt/format.h>

#include <algorithm>

#include "base/strings.h"
#include "capabilities/routing/gateway/compiler.h"
#include "capabilities/routing/gateway/filters.h"
#include "crypto/digest.h"

namespace mainstay::routing {
namespace {

std::string name_of(const json::value& object) { return base::get_string(object, "metadata.name"); }
std::string ns_of(const json::value& object) { return base::get_string(object, "metadata.namespace"); }

std::string key_for(const std::string& source, std::size_t rule) {
  return "r-" + crypto::sha256_hex(fmt::format("{} {}", source, rule)).substr(0, 16);
}

}  // namespace

Compiler::Targets Compiler::route_targets(const std::string& kind, const json::value& route, const json::value& rule,
                                          Condition& resolved) const {
  Targets targets;
  targets.http2 = kind == "GRPCRoute";
  for (const json::value& ref : base::get_array(rule, "backendRefs")) {
    std::optional<Condition> wrong;
    if (base::get_string(ref, "kind", "Service") != "Service" || !base::get_string(ref, "group").empty()) {
      wrong = Condition{"ResolvedRefs", "InvalidKind", "backends are Services", false};
    } else {
      wrong = add_backend(kind, ns_of(route),
                          {base::get_string(ref, "namespace", ns_of(route)), base::get_string(ref, "name"), "",
                           base::get_int(ref, "port"), base::get_int(ref, "weight", 1)},
                          targets);
    }
    if (wrong && resolved.status) resolved = *std::move(wrong);
  }
  // Even where no backend can be found the rule takes its requests: they are answered with 500, not by another rule.
  if (targets.service.empty()) {
    targets.none = true;
    targets.service = ns_of(route) + "/" + name_of(route);
  }
  return targets;
}

void Compiler::add_route(const std::string& kind, const json::value& object) {
  const json::value route = kind == "GRPCRoute" ? http_route_of(object) : object;
  const std::string key = ns_of(route) + "/" + name_of(route), source = kind + " " + key;
  Hosts hosts;
  std::vector<ParentStatus> parents;
  for (const json::value& parent : base::get_array(route, "spec.parentRefs")) {
    auto accepted = attach(kind, route, parent, hosts);
    if (!accepted || !parent.is_object()) continue;
    parents.push_back({parent.as_object(), {*std::move(accepted)}});
  }
  Condition resolved{"ResolvedRefs", "ResolvedRefs", "", true};
  std::optional<RuleFault> trouble;
  bool any = false;
  const json::array& rules = base::get_array(route, "spec.rules");
  for (std::size_t i = 0; i < rules.size(); ++i) {
    Rule rule;
    rule.key = key_for(source, i);
    rule.source = source;
    rule.created = base::get_string(route, "metadata.creationTimestamp");
    rule.access = access_of(route);
    const Targets targets = route_targets(kind, route, rules[i], resolved);
    if (auto fault = read_rule(rules[i], rule)) {
      trouble = {fault->reason, fmt::format("rules[{}].{}", i, fault->message)};
      continue;
    }
    json::array matches = base::get_array(rules[i], "matches");
    if (matches.empty()) matches.push_back(json::object());
    for (const auto& [host, claim] : hosts) {
      for (const json::value& m : matches) {
        Match match = read_match(m);
        match.host = host;
        match.scheme = claim.plain && !claim.tls ? Scheme::kPlain : Scheme::kAny;
        rule.matches.push_back(std::move(match));
      }
    }
    if (rule.matches.empty()) continue;
    if (auto said = add_rule(std::move(rule), targets, hosts)) {
      trouble = {"UnsupportedValue", fmt::format("rules[{}]: {}", i, *said)};
    } else {
      any = true;
    }
  }
  add_certificates(hosts);
  for (ParentStatus& parent : parents) {
    if (trouble && parent.conditions[0].status) {
      if (!any) parent.conditions[0] = {"Accepted", trouble->reason, trouble->message, false};
      if (any)
        parent.conditions.push_back({"PartiallyInvalid", trouble->reason, "Dropped Rule: " + trouble->message, true});
    }
    parent.conditions.push_back(resolved);
  }
  (kind == "GRPCRoute" ? out_.grpc_routes : out_.http_routes)[key] = std::move(parents);
}

namespace {

// Annotations of other controllers are restrictions as often as not (who may come, who must sign in): an Ingress that
// has one is not served as if it had not. What these few ask for is so here anyway.
std::string foreign_annotation(const json::value& ingress) {
  constexpr std::string_view kControllers[] = {"nginx.ingress.kubernetes.io/",   "nginx.org/",
                                               "traefik.ingress.kubernetes.io/", "haproxy.org/",
                                               "haproxy-ingress.github.io/",     "alb.ingress.kubernetes.io/"};
  constexpr std::string_view kHarmless[] = {"nginx.ingress.kubernetes.io/proxy-body-size",
                                            "nginx.ingress.kubernetes.io/proxy-buffering",
                                            "nginx.ingress.kubernetes.io/proxy-http-version"};
  constexpr std::string_view kTls[] = {"nginx.ingress.kubernetes.io/ssl-redirect",
                                       "nginx.ingress.kubernetes.io/force-ssl-redirect"};
  for (const auto& [name, value] : base::get_object(ingress, "metadata.annotations")) {
    const std::string_view key(name);
    if (std::ranges::find(kHarmless, key) != std::end(kHarmless)) continue;
    if (std::ranges::find(kTls, key) != std::end(kTls) && value == "true") continue;
    if (std::ranges::any_of(kControllers, [key](std::string_view prefix) { return key.starts_with(prefix); }))
      return std::string(key);
  }
  return "";
}

}  // namespace

// "" where the Ingress is for this edge; "-" where it is another controller's; else what is wrong.
std::string Compiler::ingress_class_trouble(const json::value& ingress) const {
  const std::string name = base::get_string(ingress, "spec.ingressClassName", "mainstay");
  const auto at =
      std::ranges::find_if(world_.ingress_classes, [&name](const client::ObjectPtr& c) { return name_of(*c) == name; });
  if (at == world_.ingress_classes.end() && name != "mainstay")
    return fmt::format("there is no IngressClass {}: leave ingressClassName out, or write mainstay", name);
  if (at != world_.ingress_classes.end() && base::get_string(**at, "spec.controller") != kGatewayController) return "-";
  const std::string foreign = foreign_annotation(ingress);
  if (foreign.empty()) return "";
  return fmt::format(
      "annotation {} is another controller's and would not be obeyed: take it away and say the same with "
      "mainstay.dev/allow-sources, mainstay.dev/rate-limit or an HTTPRoute",
      foreign);
}

Compiler::Hosts Compiler::ingress_hosts(const json::value& ingress, std::string& trouble) const {
  Hosts out;
  const bool serve = base::annotation(ingress, "mainstay.dev/http") == "serve";
  std::vector<std::string> names;
  for (const json::value& rule : base::get_array(ingress, "spec.rules"))
    names.push_back(base::get_string(rule, "host"));
  if (base::find(ingress, "spec.defaultBackend") != nullptr) {
    for (const json::value& entry : base::get_array(ingress, "spec.tls")) {
      for (const json::value& host : base::get_array(entry, "hosts")) {
        if (host.is_string()) names.emplace_back(host.as_string());
      }
    }
    if (names.empty())
      trouble = "name hosts in rules or tls: a backend for all hosts would be one for other teams', too";
  }
  for (const std::string& host : names) {
    if (host.empty() || !may_claim(world_, ns_of(ingress), host, config_)) {
      trouble = not_allowed(host);
      continue;
    }
    out[host].plain = serve || config_.https.port == 0;
    out[host].tls = config_.https.port != 0;
  }
  ingress_certificates(ingress, out, trouble);
  return out;
}

void Compiler::ingress_certificates(const json::value& ingress, Hosts& hosts, std::string& trouble) const {
  const json::array& all = base::get_array(ingress, "spec.tls");
  for (std::size_t i = 0; i < all.size(); ++i) {
    const std::string secret = base::get_string(all[i], "secretName");
    if (secret.empty()) continue;
    auto pem = pem_of("Ingress", ns_of(ingress), ns_of(ingress), secret);
    if (!pem) {
      trouble = pem.error().message;
      continue;
    }
    for (const json::value& host : base::get_array(all[i], "hosts")) {
      if (!host.is_string()) continue;
      const auto at = hosts.find(std::string(host.as_string()));
      if (at == hosts.end()) continue;
      at->second.pem = *pem;
      at->second.pem_name = fmt::format("ingress {}/{} {}", ns_of(ingress), name_of(ingress), i);
    }
  }
}

// `path` has pathType, path and backend.
void Compiler::add_ingress_path(const json::value& ingress, const Hosts& hosts, const json::value& path,
                                const std::string& host, std::size_t index, std::string& trouble) {
  const std::string key = ns_of(ingress) + "/" + name_of(ingress), source = "Ingress " + key;
  Rule rule;
  rule.key = key_for(source, index);
  rule.source = source;
  rule.created = base::get_string(ingress, "metadata.creationTimestamp");
  rule.access = access_of(ingress);
  Match match;
  match.host = host;
  match.exact = base::get_string(path, "pathType") == "Exact";
  match.path = base::get_string(path, "path", "/");
  rule.matches.push_back(std::move(match));
  Targets targets;
  auto wrong = add_backend(
      "Ingress", ns_of(ingress),
      {ns_of(ingress), base::get_string(path, "backend.service.name"),
       base::get_string(path, "backend.service.port.name"), base::get_int(path, "backend.service.port.number"), 1},
      targets);
  if (wrong) trouble = wrong->message;
  if (targets.service.empty()) {
    targets.none = true;
    targets.service = key;
  }
  if (auto said = add_rule(std::move(rule), targets, hosts)) trouble = *std::move(said);
}

void Compiler::add_ingress(const json::value& ingress) {
  const std::string key = ns_of(ingress) + "/" + name_of(ingress);
  std::string trouble = ingress_class_trouble(ingress);
  if (trouble == "-") return;
  if (!trouble.empty()) {
    out_.ingresses[key] = Condition{"Accepted", "Invalid", trouble, false};
    return;
  }
  const Hosts hosts = ingress_hosts(ingress, trouble);
  std::size_t index = 0;
  for (const json::value& spec : base::get_array(ingress, "spec.rules")) {
    const std::string host = base::get_string(spec, "host");
    if (!hosts.contains(host)) continue;
    for (const json::value& path : base::get_array(spec, "http.paths"))
      add_ingress_path(ingress, hosts, path, host, index++, trouble);
  }
  // Last: what a rule of the Ingress itself claims stays its own.
  if (const json::value* backend = base::find(ingress, "spec.defaultBackend")) {
    for (const auto& [host, claim] : hosts)
      add_ingress_path(ingress, hosts, json::object{{"backend", *backend}}, host, index++, trouble);
  }
  add_certificates(hosts);
  out_.ingresses[key] =
      trouble.empty() ? Condition{"Accepted", "Accepted", "", true} : Condition{"Accepted", "Invalid", trouble, false};
}

}  // namespace mainstay::routing
