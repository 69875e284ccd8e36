// HTTPRoutes and Ingresses, read into rules.
#include <fmt/format.h>

#include "base/strings.h"
#include "capabilities/routing/gateway/compiler.h"
#include "crypto/digest.h"

namespace mainstay::routing {
namespace {

std::string name_of(const json::value& object) { return base::get_string(object, "metadata.name"); }
std::string ns_of(const json::value& object) { return base::get_string(object, "metadata.namespace"); }

std::string key_for(const std::string& source, std::size_t rule) {
  return "r-" + crypto::sha256_hex(fmt::format("{} {}", source, rule)).substr(0, 16);
}

Match read_match(const json::value& m) {
  Match out;
  out.exact = base::get_string(m, "path.type", "PathPrefix") == "Exact";
  out.path = base::get_string(m, "path.value", "/");
  out.method = base::get_string(m, "method");
  for (const json::value& h : base::get_array(m, "headers"))
    out.headers.emplace_back(base::get_string(h, "name"), base::get_string(h, "value"));
  for (const json::value& q : base::get_array(m, "queryParams"))
    out.queries.emplace_back(base::get_string(q, "name"), base::get_string(q, "value"));
  return out;
}

std::vector<HeaderChange> read_headers(const json::value& filter) {
  std::vector<HeaderChange> out;
  for (const auto& [list, kind] : {std::pair{"set", HeaderChange::kSet}, std::pair{"add", HeaderChange::kAdd}}) {
    for (const json::value& h : base::get_array(filter, list))
      out.push_back({kind, base::get_string(h, "name"), base::get_string(h, "value")});
  }
  for (const json::value& name : base::get_array(filter, "remove")) {
    if (name.is_string()) out.push_back({HeaderChange::kRemove, std::string(name.as_string()), ""});
  }
  return out;
}

std::optional<PathChange> read_path(const json::value& filter) {
  const std::string type = base::get_string(filter, "path.type");
  if (type.empty()) return std::nullopt;
  const bool full = type == "ReplaceFullPath";
  return PathChange{full, base::get_string(filter, full ? "path.replaceFullPath" : "path.replacePrefixMatch", "/")};
}

void read_filter(const json::value& f, Rule& rule) {
  const std::string type = base::get_string(f, "type");
  const auto part = [&f](const char* name) {
    const json::value* found = base::find(f, name);
    return found != nullptr ? *found : json::value(json::object());
  };
  if (type == "RequestHeaderModifier") {
    for (HeaderChange& c : read_headers(part("requestHeaderModifier"))) rule.request.push_back(std::move(c));
  } else if (type == "ResponseHeaderModifier") {
    for (HeaderChange& c : read_headers(part("responseHeaderModifier"))) rule.response.push_back(std::move(c));
  } else if (type == "RequestRedirect") {
    const json::value r = part("requestRedirect");
    rule.redirect = Redirect{base::get_string(r, "scheme"), base::get_string(r, "hostname"),
                             static_cast<int>(base::get_int(r, "port")), read_path(r),
                             static_cast<int>(base::get_int(r, "statusCode", 302))};
  } else if (type == "URLRewrite") {
    const json::value r = part("urlRewrite");
    rule.rewrite = read_path(r);
    rule.rewrite_host = base::get_string(r, "hostname");
  }
}

}  // namespace

void Compiler::add_http_route(const json::value& route) {
  const std::string key = ns_of(route) + "/" + name_of(route), source = "HTTPRoute " + key;
  Hosts hosts;
  std::vector<ParentStatus> parents;
  for (const json::value& parent : base::get_array(route, "spec.parentRefs")) {
    auto accepted = attach(route, parent, hosts);
    if (!accepted || !parent.is_object()) continue;
    parents.push_back({parent.as_object(), {*std::move(accepted)}});
  }
  Condition resolved{"ResolvedRefs", "ResolvedRefs", "", true};
  std::string trouble;
  bool any = false;
  const json::array& rules = base::get_array(route, "spec.rules");
  for (std::size_t i = 0; i < rules.size(); ++i) {
    Rule rule;
    rule.key = key_for(source, i);
    rule.source = source;
    rule.created = base::get_string(route, "metadata.creationTimestamp");
    rule.access = access_of(route);
    for (const json::value& filter : base::get_array(rules[i], "filters")) read_filter(filter, rule);
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
    Targets targets;
    for (const json::value& ref : base::get_array(rules[i], "backendRefs")) {
      std::optional<Condition> wrong;
      if (base::get_string(ref, "kind", "Service") != "Service" || !base::get_string(ref, "group").empty()) {
        wrong = Condition{"ResolvedRefs", "InvalidKind", "backends are Services", false};
      } else {
        wrong = add_backend("HTTPRoute", ns_of(route),
                            {base::get_string(ref, "namespace", ns_of(route)), base::get_string(ref, "name"), "",
                             base::get_int(ref, "port"), base::get_int(ref, "weight", 1)},
                            targets);
      }
      if (wrong && resolved.status) resolved = *std::move(wrong);
    }
    // Even where no backend can be found the rule takes its requests: they are answered with 503, not by another rule.
    if (targets.service.empty()) targets.service = key;
    if (rule.matches.empty()) continue;
    if (auto said = add_rule(std::move(rule), targets, hosts)) {
      trouble = *std::move(said);
    } else {
      any = true;
    }
  }
  add_certificates(hosts);
  for (ParentStatus& parent : parents) {
    if (!trouble.empty() && parent.conditions[0].status) {
      if (!any) parent.conditions[0] = {"Accepted", "UnsupportedValue", trouble, false};
      if (any) parent.conditions.push_back({"PartiallyInvalid", "UnsupportedValue", trouble, true});
    }
    parent.conditions.push_back(resolved);
  }
  out_.http_routes[key] = std::move(parents);
}

Compiler::Hosts Compiler::ingress_hosts(const json::value& ingress, std::string& trouble) const {
  Hosts out;
  const bool serve = base::annotation(ingress, "mainstay.dev/http") == "serve";
  for (const json::value& rule : base::get_array(ingress, "spec.rules")) {
    const std::string host = base::get_string(rule, "host");
    if (host.empty() || !may_claim(world_, ns_of(ingress), host, config_)) {
      trouble = not_allowed(host);
      continue;
    }
    out[host].plain = serve || config_.https.port == 0;
    out[host].tls = config_.https.port != 0;
  }
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
      const auto at = out.find(std::string(host.as_string()));
      if (at == out.end()) continue;
      at->second.pem = *pem;
      at->second.pem_name = fmt::format("ingress {}/{} {}", ns_of(ingress), name_of(ingress), i);
    }
  }
  return out;
}

void Compiler::add_ingress(const json::value& ingress) {
  if (base::get_string(ingress, "spec.ingressClassName", "mainstay") != "mainstay") return;
  const std::string key = ns_of(ingress) + "/" + name_of(ingress), source = "Ingress " + key;
  std::string trouble;
  const Hosts hosts = ingress_hosts(ingress, trouble);
  std::size_t index = 0;
  for (const json::value& spec : base::get_array(ingress, "spec.rules")) {
    const std::string host = base::get_string(spec, "host");
    if (!hosts.contains(host)) continue;
    for (const json::value& path : base::get_array(spec, "http.paths")) {
      Rule rule;
      rule.key = key_for(source, index++);
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
      if (targets.service.empty()) targets.service = key;
      if (auto said = add_rule(std::move(rule), targets, hosts)) trouble = *std::move(said);
    }
  }
  add_certificates(hosts);
  out_.ingresses[key] =
      trouble.empty() ? Condition{"Accepted", "Accepted", "", true} : Condition{"Accepted", "Invalid", trouble, false};
}

}  // namespace mainstay::routing
