#include "capabilities/routing/routing_controller.h"

#include "base/log.h"
#include "base/status.h"

namespace mainstay::routing {
namespace {

using client::ObjectPtr;
using client::resources::kEndpointSlices;
using client::resources::kNamespaces;
using client::resources::kPods;
using client::resources::kServices;

constexpr std::string_view kUrl = "mainstay.dev/url";
constexpr std::string_view kRouted = "Routed";

std::string name_of(const json::value& object) { return base::get_string(object, "metadata.name"); }
std::string ns_of(const json::value& object) { return base::get_string(object, "metadata.namespace"); }
std::string key_of(const json::value& object) { return ns_of(object) + "/" + name_of(object); }

void remove_condition(json::value& object, std::string_view type) {
  if (reconcile::find_condition(object, type) == nullptr) return;
  json::array kept;
  for (const json::value& condition : base::get_array(object, "status.conditions")) {
    if (base::get_string(condition, "type") != type) kept.push_back(condition);
  }
  base::set(object, "status.conditions", std::move(kept));
}

}  // namespace

void write_route_status(json::value& service, const RouteDecision& decision, const base::Config& config,
                        base::SystemTime now) {
  const bool had_one =
      reconcile::find_condition(service, kRouted) != nullptr || !base::annotation(service, kUrl).empty();
  if (decision.reason.empty() && !had_one) return;  // none of our business, and never was
  if (decision.route) {
    json::array ports;
    if (config.https.port != 0) ports.push_back(json::object{{"port", config.https.port}, {"protocol", "TCP"}});
    if (config.http.port != 0) ports.push_back(json::object{{"port", config.http.port}, {"protocol", "TCP"}});
    base::set(service, "status.loadBalancer",
              json::object{{"ingress", json::array{json::object{{"hostname", decision.route->host},
                                                                {"ports", std::move(ports)}}}}});
    const std::string url = route_url(*decision.route, config);
    if (base::annotation(service, kUrl) != url)
      base::set(service, {"metadata", "annotations", kUrl}, json::string(url));
  } else {
    base::set(service, "status.loadBalancer", json::object{});
    if (json::value* annotations = base::find(service, "metadata.annotations");
        annotations != nullptr && annotations->is_object())
      annotations->as_object().erase(kUrl);
  }
  if (decision.reason.empty()) {
    remove_condition(service, kRouted);
  } else {
    reconcile::set_condition(service, kRouted, decision.reason == "Serving" ? "True" : "False", decision.reason,
                             decision.message, now);
  }
}

RoutingController::RoutingController(platform::Host& host, std::shared_ptr<Edge> edge,
                                     std::shared_ptr<dns::DnsService> dns)
    : host_(host),
      edge_(std::move(edge)),
      dns_(std::move(dns)),
      client_(host.client("routing")),
      services_(host.caches().of(kServices)),
      slices_(host.caches().of(kEndpointSlices)),
      namespaces_(host.caches().of(kNamespaces)),
      pods_(host.caches().of(kPods)) {}

void RoutingController::add_to(platform::Host& host, std::shared_ptr<RoutingController> self) {
  reconcile::ControllerOptions options;
  options.name = "routing";
  options.primary = kServices;
  options.also.push_back({kEndpointSlices, [](const json::value& slice) -> std::vector<reconcile::Name> {
                            const std::string service = base::label(slice, "kubernetes.io/service-name");
                            if (service.empty()) return {};
                            return {{ns_of(slice), service}};
                          }});
  options.also.push_back({kNamespaces, [self](const json::value& ns) {
                            std::vector<reconcile::Name> out;
                            for (const ObjectPtr& service : self->services_->list(name_of(ns)))
                              out.push_back({name_of(ns), name_of(*service)});
                            return out;
                          }});
  // Why none is ready. Pods that are ready say nothing that a slice does not.
  options.also.push_back({kPods, [self](const json::value& pod) {
                            std::vector<reconcile::Name> out;
                            if (reconcile::condition_true(pod, "Ready")) return out;
                            for (const ObjectPtr& service : self->services_->list(ns_of(pod))) {
                              if (selects(*service, pod)) out.push_back({ns_of(pod), name_of(*service)});
                            }
                            return out;
                          }});
  host.add_controller(std::move(options), [self](reconcile::Name name) { return self->reconcile(std::move(name)); });
}

RouteDecision RoutingController::decide(const json::value& service) const {
  if (!base::get_string(service, "metadata.deletionTimestamp").empty()) return {};
  const ObjectPtr ns = namespaces_->get("", ns_of(service));
  return decide_route(service, ns.get(), slices_->list(ns_of(service)), host_.config(), pods_->list(ns_of(service)));
}

void RoutingController::publish(const std::string& key, const std::optional<Route>& route) {
  if (dns_) dns_->set_hosts("service/" + key, route ? std::vector{route->host} : std::vector<std::string>{});
}

async::Task<> RoutingController::begin() {
  auto keep = shared_from_this();
  co_await services_->synced();
  co_await slices_->synced();
  co_await namespaces_->synced();
  co_await pods_->synced();
  for (const ObjectPtr& service : services_->list()) {
    RouteDecision decision = decide(*service);
    publish(key_of(*service), decision.route);
    if (decision.route) edge_->expect(key_of(*service), std::move(*decision.route));
  }
}

async::Task<reconcile::Outcome> RoutingController::reconcile(reconcile::Name name) {
  auto keep = shared_from_this();
  const ObjectPtr service = services_->get(name.ns, name.name);
  RouteDecision decision;
  if (service) decision = decide(*service);
  publish(name.ns + "/" + name.name, decision.route);
  base::Result<> applied = co_await edge_->apply(name.ns + "/" + name.name, decision.route);
  if (!service) {
    if (!applied) throw base::from_error(applied.error());
    co_return reconcile::Outcome::done();
  }
  if (!applied) {
    decision.reason = "EdgeUnavailable";
    decision.message = applied.error().message;
  }
  co_await write_status(service, decision);
  if (!applied) throw base::from_error(applied.error());
  co_return reconcile::Outcome::done();
}

async::Task<> RoutingController::write_status(ObjectPtr service, RouteDecision decision) {
  reconcile::Pass pass(client_, kServices, service);
  write_route_status(pass.object(), decision, host_.config(), host_.clock().now());
  if (pass.object() == *service) co_return;
  co_await pass.commit();
}

}  // namespace mainstay::routing
