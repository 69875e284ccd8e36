#include "capabilities/routing/gateway/gateway_controller.h"

#include "base/log.h"
#include "base/status.h"

namespace mainstay::routing {
namespace {

using client::ObjectPtr;
const client::Resource kClasses{"gateway.networking.k8s.io", "v1", "gatewayclasses", false, "GatewayClass"};
const client::Resource kGateways{"gateway.networking.k8s.io", "v1", "gateways", true, "Gateway"};
const client::Resource kHttpRoutes{"gateway.networking.k8s.io", "v1", "httproutes", true, "HTTPRoute"};
const client::Resource kGrpcRoutes{"gateway.networking.k8s.io", "v1", "grpcroutes", true, "GRPCRoute"};
const client::Resource kIngressClasses{"networking.k8s.io", "v1", "ingressclasses", false, "IngressClass"};
const client::Resource kGrants{"gateway.networking.k8s.io", "v1beta1", "referencegrants", true, "ReferenceGrant"};
const client::Resource kIngresses{"networking.k8s.io", "v1", "ingresses", true, "Ingress"};

// Each change of rules is a successor process, and old ones linger while they have connections.
constexpr std::chrono::milliseconds kBetweenPasses{200};
constexpr std::chrono::seconds kRetry{5};

std::string name_of(const json::value& object) { return base::get_string(object, "metadata.name"); }
std::string key_of(const json::value& object) {
  return base::get_string(object, "metadata.namespace") + "/" + name_of(object);
}

}  // namespace

GatewayController::GatewayController(platform::Host& host, std::shared_ptr<Edge> edge,
                                     std::shared_ptr<dns::DnsService> dns)
    : host_(host),
      edge_(std::move(edge)),
      dns_(std::move(dns)),
      client_(host.client("gateway")),
      classes_(host.caches().of(kClasses)),
      gateways_(host.caches().of(kGateways)),
      routes_(host.caches().of(kHttpRoutes)),
      grpc_routes_(host.caches().of(kGrpcRoutes)),
      ingress_classes_(host.caches().of(kIngressClasses)),
      ingresses_(host.caches().of(kIngresses)),
      grants_(host.caches().of(kGrants)),
      services_(host.caches().of(client::resources::kServices)),
      slices_(host.caches().of(client::resources::kEndpointSlices)),
      namespaces_(host.caches().of(client::resources::kNamespaces)),
      teams_(host.caches().of(client::resources::kTeams)),
      secrets_(host.caches().of(client::resources::kSecrets)),
      changed_(host.runtime().executor()) {}

Compiled GatewayController::compile_now() const {
  World world;
  world.classes = classes_->list();
  world.gateways = gateways_->list();
  world.routes = routes_->list();
  world.grpc_routes = grpc_routes_->list();
  world.ingress_classes = ingress_classes_->list();
  world.ingresses = ingresses_->list();
  world.grants = grants_->list();
  world.service = [this](const std::string& ns, const std::string& name) { return services_->get(ns, name); };
  world.secret = [this](const std::string& ns, const std::string& name) { return secrets_->get(ns, name); };
  world.gateway = [this](const std::string& ns, const std::string& name) { return gateways_->get(ns, name); };
  world.slices = [this](const std::string& ns, const std::string& service) {
    std::vector<ObjectPtr> out;
    for (ObjectPtr& slice : slices_->list(ns)) {
      if (base::label(*slice, "kubernetes.io/service-name") == service) out.push_back(std::move(slice));
    }
    return out;
  };
  world.ns = [this](const std::string& name) { return namespaces_->get("", name); };
  world.team = [this](const std::string& name) { return teams_->get("", name); };
  world.now = host_.clock().now();
  return compile(world, host_.config());
}

RuleSet GatewayController::take_rules(Compiled& compiled) {
  if (dns_) {
    dns_->set_hosts("gateway", {compiled.hosts.begin(), compiled.hosts.end()});
  }
  RuleSet out;
  out.texts = render_rules(compiled.rules, host_.config());
  out.routes = std::move(compiled.routes);
  out.certificates = std::move(compiled.certificates);
  return out;
}

async::Task<> GatewayController::begin() {
  auto self = shared_from_this();
  for (const auto& cache : {classes_, gateways_, routes_, grpc_routes_, ingress_classes_, ingresses_, grants_,
                            services_, slices_, namespaces_, teams_, secrets_}) {
    co_await cache->synced();
    // The controller lives as long as its caches tell it of changes.
    cache->on_change([self](const ObjectPtr&, const ObjectPtr&) {
      self->dirty_ = true;
      self->changed_.notify_all();
    });
  }
  Compiled compiled = compile_now();
  edge_->expect_rules(take_rules(compiled));
}

async::Task<bool> GatewayController::pass() {
  Compiled compiled = compile_now();
  const auto applied = co_await edge_->apply_rules(take_rules(compiled));
  if (!applied) base::log::error("gateway", "{}", applied.error().message);
  co_await write_statuses(std::move(compiled), applied ? "" : "the edge does not serve it: " + applied.error().message);
  co_return applied.has_value();
}

async::Task<> GatewayController::run(std::shared_ptr<GatewayController> self) {
  for (;;) {
    while (!self->dirty_) co_await self->changed_.wait();
    self->dirty_ = false;
    bool done = false;
    try {
      done = co_await self->pass();
    } catch (const base::StatusError& error) {  // somebody wrote at the same time: seen again at once
      base::log::info("gateway", "{}", error.message());
    }
    if (!done) {
      self->dirty_ = true;
      co_await self->changed_.wait_for(kRetry);
    }
    co_await async::sleep_for(kBetweenPasses);
  }
}

async::Task<> GatewayController::write_statuses(Compiled compiled, std::string trouble) {
  const auto now = host_.clock().now();
  const base::Config& config = host_.config();
  const std::string address = config.https.port != 0 ? config.https.host : config.http.host;
  for (const ObjectPtr& object : classes_->list()) {
    if (base::get_string(*object, "spec.controllerName") != kGatewayController) continue;
    reconcile::Pass pass(client_, kClasses, object);
    write_class_status(pass.object(), now);
    co_await pass.commit();
  }
  for (const ObjectPtr& object : gateways_->list()) {
    const auto found = compiled.gateways.find(key_of(*object));
    if (found == compiled.gateways.end()) continue;
    reconcile::Pass pass(client_, kGateways, object);
    write_gateway_status(pass.object(), found->second, address, trouble, now);
    co_await pass.commit();
  }
  for (const ObjectPtr& object : ingresses_->list()) {
    const auto found = compiled.ingresses.find(key_of(*object));
    reconcile::Pass pass(client_, kIngresses, object);
    if (found == compiled.ingresses.end())
      clear_ingress_status(pass.object(), address);
    else
      write_ingress_status(pass.object(), found->second, address, now);
    co_await pass.commit();
  }
  co_await write_route_statuses(std::move(compiled));
}

async::Task<> GatewayController::write_route_statuses(Compiled compiled) {
  const auto now = host_.clock().now();
  for (const bool grpc : {false, true}) {
    const auto& wanted = grpc ? compiled.grpc_routes : compiled.http_routes;
    for (const ObjectPtr& object : (grpc ? grpc_routes_ : routes_)->list()) {
      const auto found = wanted.find(key_of(*object));
      if (found == wanted.end()) continue;
      reconcile::Pass pass(client_, grpc ? kGrpcRoutes : kHttpRoutes, object);
      write_route_parents(pass.object(), found->second, now);
      co_await pass.commit();
    }
  }
}

}  // namespace mainstay::routing
