#include "capabilities/routing/gateway/compile.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/selector.h"
#include "base/strings.h"
#include "capabilities/routing/gateway/compiler.h"
#include "crypto/digest.h"

namespace mainstay::routing {

const std::vector<std::string> kSupportedFeatures{"GRPCRoute",
                                                  "Gateway",
                                                  "HTTPRoute",
                                                  "HTTPRouteBackendProtocolH2C",
                                                  "HTTPRouteBackendProtocolWebSocket",
                                                  "HTTPRouteBackendTimeout",
                                                  "HTTPRouteHostRewrite",
                                                  "HTTPRouteMethodMatching",
                                                  "HTTPRouteParentRefPort",
                                                  "HTTPRoutePathRedirect",
                                                  "HTTPRoutePathRewrite",
                                                  "HTTPRoutePortRedirect",
                                                  "HTTPRouteQueryParamMatching",
                                                  "HTTPRouteRequestTimeout",
                                                  "HTTPRouteResponseHeaderModification",
                                                  "HTTPRouteSchemeRedirect",
                                                  "ReferenceGrant"};

namespace {

std::string name_of(const json::value& object) { return base::get_string(object, "metadata.name"); }
std::string ns_of(const json::value& object) { return base::get_string(object, "metadata.namespace"); }

// "*.a.b" takes "x.a.b" and "*.x.a.b"; anything takes itself.
bool covers(std::string_view pattern, std::string_view host) {
  if (pattern == host) return true;
  return pattern.starts_with("*.") && host.size() > pattern.size() - 1 && host.ends_with(pattern.substr(1));
}

bool selected(const json::value& listener, const World& world, const std::string& gateway_ns, const std::string& ns) {
  const std::string from = base::get_string(listener, "allowedRoutes.namespaces.from", "Same");
  if (from == "Same") return gateway_ns == ns;
  if (from == "All") return true;
  const client::ObjectPtr object = world.ns(ns);
  const json::value* wanted = base::find(listener, "allowedRoutes.namespaces.selector");
  if (!object || wanted == nullptr) return false;
  const auto selector = base::LabelSelector::from_json(*wanted);
  return selector && selector->matches_object(*object);
}

const std::vector<std::string> kRouteKinds{"HTTPRoute", "GRPCRoute"};

// Of the kinds that a listener asks for, those that are served; all of them where it does not say.
std::vector<std::string> route_kinds(const json::value& listener, Condition& resolved) {
  const json::array& wanted = base::get_array(listener, "allowedRoutes.kinds");
  if (wanted.empty()) return kRouteKinds;
  std::vector<std::string> out;
  for (const json::value& one : wanted) {
    const std::string kind = base::get_string(one, "kind");
    const bool ours = base::get_string(one, "group", "gateway.networking.k8s.io") == "gateway.networking.k8s.io" &&
                      std::ranges::find(kRouteKinds, kind) != kRouteKinds.end();
    if (ours && std::ranges::find(out, kind) == out.end()) out.push_back(kind);
    if (!ours)
      resolved = {"ResolvedRefs", "InvalidRouteKinds", fmt::format("routes of kind {} are not served here", kind),
                  false};
  }
  return out;
}

}  // namespace

bool may_claim(const World& world, const std::string& ns, const std::string& host, const base::Config& config) {
  const client::ObjectPtr object = world.ns(ns);
  if (!object) return false;
  const std::string team = base::label(*object, "mainstay.dev/team");
  if (team.empty()) return true;
  const std::string own = fmt::format("{}.{}", team, config.domain);
  if (host == own || covers("*." + own, host)) return true;
  // The rest of the platform's domain is other teams', whatever was granted.
  if (host == config.domain || host == "*." + config.domain || covers("*." + config.domain, host)) return false;
  const client::ObjectPtr granted = world.team(team);
  if (!granted) return false;
  const std::string granted_hosts = base::annotation(*granted, "mainstay.dev/allowed-hosts");
  for (std::string_view one : base::split(granted_hosts, ',')) {
    if (covers(base::trim(one), host)) return true;
  }
  return false;
}

// ------------------------------------------------------------------------------------------------------- listeners

bool Compiler::granted(const std::string& from_kind, const std::string& from_ns, const std::string& to_kind,
                       const std::string& to_ns, const std::string& to_name) const {
  if (from_ns == to_ns) return true;
  const std::string from_group = from_kind == "Ingress" ? "networking.k8s.io" : "gateway.networking.k8s.io";
  for (const client::ObjectPtr& grant : world_.grants) {
    if (ns_of(*grant) != to_ns) continue;
    const auto from = base::get_array(*grant, "spec.from"), to = base::get_array(*grant, "spec.to");
    const bool comes = std::ranges::any_of(from, [&](const json::value& f) {
      return base::get_string(f, "group") == from_group && base::get_string(f, "kind") == from_kind &&
             base::get_string(f, "namespace") == from_ns;
    });
    const bool goes = std::ranges::any_of(to, [&](const json::value& t) {
      const std::string name = base::get_string(t, "name");
      return base::get_string(t, "group").empty() && base::get_string(t, "kind") == to_kind &&
             (name.empty() || name == to_name);
    });
    if (comes && goes) return true;
  }
  return false;
}

base::Result<std::string> Compiler::pem_of(const std::string& from_kind, const std::string& from_ns,
                                           const std::string& ns, const std::string& name) const {
  if (!granted(from_kind, from_ns, "Secret", ns, name))
    return base::fail(
        base::ErrorCode::kForbidden,
        fmt::format("no ReferenceGrant in namespace {} lets {} of {} use its Secret", ns, from_kind, from_ns));
  const client::ObjectPtr secret = world_.secret(ns, name);
  if (!secret) return base::fail(base::ErrorCode::kNotFound, fmt::format("Secret {}/{} is not there", ns, name));
  return tls_pem(*secret, world_.now);
}

Condition Compiler::listener_accepted(const Listener& l) const {
  const base::HostPort& own = l.tls ? config_.https : config_.http;
  const int usual = l.tls ? 443 : 80;
  if (own.port == 0 || (l.port != own.port && l.port != usual))
    return {"Accepted", "PortUnavailable",
            own.port == 0 ? "this platform was started without that port"
                          : fmt::format("the edge serves this protocol on port {} alone (write {} or {})", own.port,
                                        own.port, usual),
            false};
  if (const std::string ns = l.gateway.substr(0, l.gateway.find('/'));
      !l.hostname.empty() && !may_claim(world_, ns, l.hostname, config_))
    return {"Accepted", "HostnameNotAllowed", not_allowed(l.hostname), false};
  return {"Accepted", "Accepted", "", true};
}

void Compiler::add_listener(const json::value& gateway, const json::value& spec) {
  Listener l;
  l.gateway = ns_of(gateway) + "/" + name_of(gateway);
  l.name = base::get_string(spec, "name");
  l.hostname = base::get_string(spec, "hostname");
  l.tls = base::get_string(spec, "protocol") == "HTTPS";
  l.spec = &spec;
  l.port = static_cast<int>(base::get_int(spec, "port"));
  ListenerStatus status;
  status.name = l.name;
  const Condition accepted = listener_accepted(l);
  Condition resolved{"ResolvedRefs", "ResolvedRefs", "", true}, conflicted{"Conflicted", "NoConflicts", "", false};
  status.kinds = l.kinds = route_kinds(spec, resolved);
  // One on a port that is not served takes nobody's place.
  for (const Listener& other : listeners_) {
    if (other.gateway == l.gateway && other.tls == l.tls && other.hostname == l.hostname && accepted.status &&
        listener_accepted(other).status)
      conflicted = {"Conflicted", "HostnameConflict",
                    fmt::format("listener {} has the same protocol and hostname", other.name), true};
  }
  const json::array& references = base::get_array(spec, "tls.certificateRefs");
  if (l.tls && !references.empty()) {
    const std::string ns = base::get_string(references[0], "namespace", ns_of(gateway));
    auto pem = pem_of("Gateway", ns_of(gateway), ns, base::get_string(references[0], "name"));
    if (pem) {
      l.pem = *std::move(pem);
      l.pem_name = "gateway " + l.gateway + " " + l.name;
    } else {
      resolved = {"ResolvedRefs",
                  pem.error().code == base::ErrorCode::kForbidden ? "RefNotPermitted" : "InvalidCertificateRef",
                  pem.error().message, false};
    }
  }
  // One that asks for other kinds of routes beside those of ours serves ours.
  l.ok = accepted.status && !conflicted.status && (resolved.status || resolved.reason == "InvalidRouteKinds");
  status.conditions = {accepted, resolved, Condition{"Programmed", l.ok ? "Programmed" : "Invalid", "", l.ok},
                       conflicted};
  out_.gateways[l.gateway].push_back(std::move(status));
  listeners_.push_back(std::move(l));
}

void Compiler::add_gateways() {
  std::set<std::string> classes;
  for (const client::ObjectPtr& c : world_.classes) {
    if (base::get_string(*c, "spec.controllerName") == kGatewayController) classes.insert(name_of(*c));
  }
  for (const client::ObjectPtr& gateway : world_.gateways) {
    if (!classes.contains(base::get_string(*gateway, "spec.gatewayClassName"))) continue;
    out_.gateways[ns_of(*gateway) + "/" + name_of(*gateway)];
    for (const json::value& spec : base::get_array(*gateway, "spec.listeners")) add_listener(*gateway, spec);
  }
}

std::string Compiler::not_allowed(const std::string& host) const {
  return fmt::format(
      "host {} is not this team's: hosts below <team>.{} are, and those that an administrator grants with the "
      "annotation "
      "mainstay.dev/allowed-hosts on the Team",
      host, config_.domain);
}

// ---------------------------------------------------------------------------------------------------------- routes

// The listeners of a parent that take this route, and the hosts they take it for.
std::optional<Condition> Compiler::attach(const std::string& kind, const json::value& route, const json::value& parent,
                                          Hosts& hosts) {
  const std::string ns = base::get_string(parent, "namespace", ns_of(route));
  const std::string gateway = ns + "/" + base::get_string(parent, "name");
  const std::string section = base::get_string(parent, "sectionName");
  const std::int64_t port = base::get_int(parent, "port");
  if (!out_.gateways.contains(gateway)) {
    if (world_.gateway(ns, base::get_string(parent, "name"))) return std::nullopt;  // somebody else's
    return Condition{"Accepted", "NoMatchingParent", fmt::format("Gateway {} is not there", gateway), false};
  }
  bool named = false, allowed = false, overlap = false;
  std::string refused;
  for (Listener& l : listeners_) {
    if (l.gateway != gateway || (!section.empty() && l.name != section) || (port != 0 && l.port != port)) continue;
    named = true;
    if (!selected(*l.spec, world_, ns, ns_of(route)) || std::ranges::find(l.kinds, kind) == l.kinds.end()) continue;
    allowed = true;
    if (!l.ok) continue;
    bool attached = false;
    std::vector<std::string> wanted;
    for (const json::value& host : base::get_array(route, "spec.hostnames")) {
      if (!host.is_string()) continue;
      const std::string text(host.as_string());
      if (l.hostname.empty() || covers(l.hostname, text))
        wanted.push_back(text);
      else if (covers(text, l.hostname))
        wanted.push_back(l.hostname);
    }
    if (base::get_array(route, "spec.hostnames").empty() && !l.hostname.empty()) wanted.push_back(l.hostname);
    for (const std::string& host : wanted) {
      overlap = true;
      if (!may_claim(world_, ns_of(route), host, config_)) {
        refused = host;
        continue;
      }
      Claim& claim = hosts[host];
      (l.tls ? claim.tls : claim.plain) = true;
      if (l.tls && !l.pem.empty()) claim.pem = l.pem, claim.pem_name = l.pem_name;
      attached = true;
    }
    if (attached) ++attached_[l.gateway + " " + l.name];
  }
  if (!named)
    return Condition{"Accepted", "NoMatchingParent", fmt::format("Gateway {} has no such listener", gateway), false};
  if (!allowed)
    return Condition{"Accepted", "NotAllowedByListeners",
                     fmt::format("no listener of Gateway {} takes {}s of this namespace", gateway, kind), false};
  if (!refused.empty()) return Condition{"Accepted", "HostnameNotAllowed", not_allowed(refused), false};
  if (!overlap)
    return Condition{"Accepted", "NoMatchingListenerHostname",
                     "name hostnames that a listener takes: a route for all hosts would be one for other teams', too",
                     false};
  return Condition{"Accepted", "Accepted", "", true};
}

// Adds the pods behind a Service's port, each with its part of the Service's weight.
std::optional<Condition> Compiler::add_backend(const std::string& from_kind, const std::string& from_ns,
                                               const BackendRef& ref, Targets& targets) const {
  const std::string where = ref.ns + "/" + ref.name;
  if (!granted(from_kind, from_ns, "Service", ref.ns, ref.name))
    return Condition{"ResolvedRefs", "RefNotPermitted",
                     fmt::format("no ReferenceGrant in namespace {} lets {} of {} refer to its Services", ref.ns,
                                 from_kind, from_ns),
                     false};
  const client::ObjectPtr service = world_.service(ref.ns, ref.name);
  if (!service)
    return Condition{"ResolvedRefs", "BackendNotFound", fmt::format("Service {} is not there", where), false};
  const json::value* port = nullptr;
  for (const json::value& p : base::get_array(*service, "spec.ports")) {
    if (base::get_string(p, "protocol", "TCP") != "TCP") continue;
    if (ref.port_name.empty() ? base::get_int(p, "port") == ref.port : base::get_string(p, "name") == ref.port_name)
      port = &p;
  }
  if (port == nullptr)
    return Condition{"ResolvedRefs", "BackendNotFound",
                     fmt::format("Service {} has no TCP port {}", where,
                                 ref.port_name.empty() ? std::to_string(ref.port) : ref.port_name),
                     false};
  const std::string app = base::get_string(*port, "appProtocol");
  targets.http2 = targets.http2 || app == "kubernetes.io/h2c" || app == "h2c";
  if (targets.service.empty()) targets.service = where;
  if (ref.weight <= 0) return std::nullopt;
  std::vector<Endpoint> endpoints = service_endpoints(base::get_string(*port, "name"), world_.slices(ref.ns, ref.name));
  const auto ready = std::ranges::count_if(endpoints, [](const Endpoint& e) { return e.ready; });
  for (Endpoint& endpoint : endpoints) {
    const std::string key = fmt::format("{}:{}", endpoint.address, endpoint.port);
    auto& [known, share] = targets.endpoints[key];
    known = endpoint;
    share += static_cast<double>(ref.weight) / static_cast<double>(std::max<std::ptrdiff_t>(ready, 1));
  }
  return std::nullopt;
}

// HAProxy's weights go from 1 to 256: the largest share has the largest weight.
std::vector<Endpoint> Compiler::weighted(const Targets& targets) {
  double largest = 0;
  bool equal = true;
  for (const auto& [key, target] : targets.endpoints) {
    equal = equal && (largest == 0 || std::abs(target.second - largest) < 1e-9);
    largest = std::max(largest, target.second);
  }
  std::vector<Endpoint> out;
  for (const auto& [key, target] : targets.endpoints) {
    Endpoint endpoint = target.first;
    if (!equal) endpoint.weight = static_cast<std::uint16_t>(std::max(1.0, std::round(256 * target.second / largest)));
    out.push_back(std::move(endpoint));
  }
  return out;
}

AccessPolicy Compiler::access_of(const json::value& object) {
  AccessPolicy out;
  const auto list = [&object](const char* annotation) {
    std::vector<std::string> networks;
    const std::string text = base::annotation(object, annotation);
    for (std::string_view one : base::split(text, ',')) {
      if (!base::trim(one).empty()) networks.emplace_back(base::trim(one));
    }
    return networks;
  };
  out.allow = list("mainstay.dev/allow-sources");
  out.deny = list("mainstay.dev/deny-sources");
  const std::string rate = base::annotation(object, "mainstay.dev/rate-limit");
  if (rate.empty()) return out;
  const auto [end, error] = std::from_chars(rate.data(), rate.data() + rate.size(), out.requests_per_second);
  // What cannot be read must not mean that there is no limit: check_rule refuses the network "".
  if (error != std::errc() || end != rate.data() + rate.size() || out.requests_per_second < 1 ||
      out.requests_per_second > 1'000'000)
    out.allow = {"rate limit " + rate};
  return out;
}

std::optional<std::string> Compiler::add_rule(Rule rule, const Targets& targets, const Hosts& hosts) {
  if (auto checked = check_rule(rule); !checked) return checked.error().message;
  // Of two that say the same the older has it; this comes in their order.
  std::string taken;
  std::erase_if(rule.matches, [&](const Match& m) {
    const auto [at, fresh] = claimed_.try_emplace(m.signature(), rule.source);
    if (!fresh && at->second != rule.source)
      taken = fmt::format("{}{} is served by the older {}", m.host, m.path, at->second);
    return !fresh;
  });
  if (rule.matches.empty()) return taken.empty() ? std::optional<std::string>() : taken;
  if (!targets.service.empty() && !rule.redirect) {
    Route route;
    route.host = rule.key;
    route.service = targets.service;
    route.http2 = targets.http2;
    route.broken = targets.none;
    route.by_weight = true;
    route.plain_http = std::ranges::any_of(
        rule.matches, [&](const Match& m) { return hosts.contains(m.host) && hosts.at(m.host).plain; });
    route.endpoints = weighted(targets);
    out_.routes[rule.key] = std::move(route);
  }
  for (const Match& m : rule.matches) out_.hosts.insert(m.host);
  out_.rules.push_back(std::move(rule));
  if (taken.empty()) return std::nullopt;
  return taken;
}

void Compiler::add_certificates(const Hosts& hosts) {
  for (const auto& [host, claim] : hosts) {
    if (config_.https.port == 0 || !claim.tls || !certified_.insert(host).second) continue;
    const std::string identity = claim.pem.empty() ? "issued " + host : claim.pem_name;
    HostCertificate& certificate = out_.certificates["h-" + crypto::sha256_hex(identity).substr(0, 20)];
    certificate.hosts.push_back(host);
    certificate.pem = claim.pem;
  }
}

Compiled Compiler::run() {
  add_gateways();
  struct Source {
    std::string created, name;
    std::string kind;
    const json::value* object;
  };
  std::vector<Source> sources;
  const auto add = [&sources](const std::vector<client::ObjectPtr>& objects, const char* kind) {
    for (const client::ObjectPtr& o : objects) {
      if (base::get_string(*o, "metadata.deletionTimestamp").empty())
        sources.push_back(
            {base::get_string(*o, "metadata.creationTimestamp"), ns_of(*o) + "/" + name_of(*o), kind, o.get()});
    }
  };
  add(world_.routes, "HTTPRoute");
  add(world_.grpc_routes, "GRPCRoute");
  add(world_.ingresses, "Ingress");
  std::ranges::sort(sources, {}, [](const Source& s) { return std::tie(s.created, s.name, s.kind); });
  for (const Source& s : sources) s.kind == "Ingress" ? add_ingress(*s.object) : add_route(s.kind, *s.object);
  for (auto& [gateway, statuses] : out_.gateways) {
    for (ListenerStatus& status : statuses) status.attached = attached_[gateway + " " + status.name];
  }
  return std::move(out_);
}

Compiled compile(const World& world, const base::Config& config) { return Compiler(world, config).run(); }

}  // namespace mainstay::routing
