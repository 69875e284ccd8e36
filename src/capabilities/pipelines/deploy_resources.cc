#include "capabilities/pipelines/deploy_resources.h"

#include "base/status.h"
#include "base/strings.h"

namespace mainstay::pipelines {
namespace {
namespace resources = client::resources;

const client::Resource kClaims{"mainstay.dev", "v1", "resourceclaims", true, "ResourceClaim"};
const client::Resource kRoutes{"gateway.networking.k8s.io", "v1", "httproutes", true, "HTTPRoute"};
constexpr std::chrono::minutes kClaimLimit{3};
constexpr std::chrono::seconds kTick{10};
constexpr const char* kWorkloadLabel = "app.kubernetes.io/name";

// Types that need nobody to make anything.
bool is_claimed(const std::string& type) {
  return type != "dns" && type != "route" && type != "service-port" && type != "environment";
}

std::string claim_name(const RenderedWorkload& workload, const ResourceRequest& request) {
  return workload.name + "-" + request.name;
}

json::object labels(const RenderedWorkload& workload) {
  return {{kWorkloadLabel, workload.name}, {"app.kubernetes.io/managed-by", "mainstay"}};
}

// params.port: a number or a name; "" where there is none.
std::string port_param(const json::value& params) {
  const json::value* port = base::find(params, "port");
  if (port == nullptr) return "";
  return port->is_string() ? std::string(port->as_string()) : base::to_json(*port);
}

std::string line(const std::string& text) { return base::to_json(json::value(json::object{{"line", text}})) + "\n"; }

}  // namespace

DeployResources::DeployResources(platform::Host& host, std::shared_ptr<async::Event> changed)
    : host_(host), client_(host.client("pipelines")), changed_(std::move(changed)) {}

void DeployResources::start() {
  host_.caches().of(kClaims)->on_change(
      [changed = changed_](const client::ObjectPtr&, const client::ObjectPtr&) { changed->notify_all(); });
}

async::Task<> DeployResources::claim(const RenderedWorkload& workload, const DeployTarget& target,
                                     const ResourceRequest& request) {
  json::object spec{{"type", request.type}, {"workload", workload.name}, {"params", request.params}};
  if (!request.cls.empty()) spec["class"] = request.cls;
  co_await client_.apply(
      kClaims, json::value{{"apiVersion", "mainstay.dev/v1"},
                           {"kind", "ResourceClaim"},
                           {"metadata",
                            {{"name", claim_name(workload, request)},
                             {"namespace", workload.ns},
                             {"labels", labels(workload)},
                             {"annotations", {{"mainstay.dev/repository", target.team + "/" + target.repository}}}}},
                           {"spec", std::move(spec)}});
}

async::Task<base::Result<DeployResources::Outputs>> DeployResources::wait(std::string ns, std::string name,
                                                                          std::string type, net::BodyWriter* writer) {
  const auto deadline = std::chrono::steady_clock::now() + kClaimLimit;
  std::string said;
  for (;;) {
    const auto claim = co_await client_.find(kClaims, ns, name);
    if (!claim) co_return base::fail(base::ErrorCode::kNotFound, fmt::format("resource {} was deleted", name));
    const std::string phase = base::get_string(*claim, "status.phase", "Pending");
    const json::value* ready = reconcile::find_condition(*claim, "Ready");
    const std::string why = ready == nullptr ? "" : base::get_string(*ready, "message");
    const bool current =
        base::get_int(*claim, "status.observedGeneration") >= base::get_int(*claim, "metadata.generation");
    if (current && phase == "Ready") {
      Outputs out;
      for (const auto& entry : base::get_object(*claim, "status.outputs"))
        if (entry.value().is_string()) out[entry.key()] = {std::string(entry.value().as_string()), "", "", ""};
      for (const json::value& key : base::get_array(*claim, "status.secretOutputs"))
        out[std::string(key.as_string())] = {"", "secretKeyRef", base::get_string(*claim, "status.secretName"),
                                             std::string(key.as_string())};
      co_return out;
    }
    if (current && phase == "Failed")
      co_return base::fail(base::ErrorCode::kInvalid, fmt::format("resource {} ({}): {}", name, type, why));
    if (std::chrono::steady_clock::now() > deadline)
      co_return base::fail(base::ErrorCode::kTimeout, fmt::format("resource {} ({}) is not ready after {} minutes: {}",
                                                                  name, type, kClaimLimit.count(), why));
    std::string now = fmt::format("waiting for resource {} ({}){}{}", name, type, why.empty() ? "" : ": ", why);
    if (writer != nullptr && now != said) {
      said = std::move(now);
      co_await writer->write(line(said));
    }
    if (!co_await changed_->wait_for(kTick) && writer != nullptr) co_await writer->write("\n");
  }
}

// params: {workload, port}: where another workload of this environment is reached.
async::Task<base::Result<DeployResources::Outputs>> DeployResources::service_port(std::string ns,
                                                                                  ResourceRequest request) {
  const json::value params(request.params);
  const std::string workload = base::get_string(params, "workload"), wanted = port_param(params);
  const auto refuse = [&](std::string why) {
    return base::fail(base::ErrorCode::kInvalid,
                      fmt::format("resource {} (service-port): {}", request.name, std::move(why)));
  };
  if (workload.empty()) co_return refuse("params.workload is missing");
  const auto service = co_await client_.find(resources::kServices, ns, workload);
  if (!service)
    co_return refuse(fmt::format("there is no workload {} with a service in {}; deploy it first", workload, ns));
  for (const json::value& port : base::get_array(*service, "spec.ports")) {
    const std::int64_t number = base::get_int(port, "port");
    if (!wanted.empty() && base::get_string(port, "name") != wanted && std::to_string(number) != wanted) continue;
    Outputs out;
    out["hostname"] = {base::get_string(*service, "spec.clusterIP"), "", "", ""};
    out["port"] = {std::to_string(number), "", "", ""};
    co_return out;
  }
  co_return refuse(fmt::format("workload {} has no port \"{}\"", workload, wanted));
}

// The keys of the ConfigMap and the Secret `environment` of the namespace, by reference.
async::Task<DeployResources::Outputs> DeployResources::environment(std::string ns) {
  Outputs out;
  if (const auto map = co_await client_.find(resources::kConfigMaps, ns, "environment"))
    for (const auto& entry : base::get_object(*map, "data"))
      out[entry.key()] = {"", "configMapKeyRef", "environment", std::string(entry.key())};
  if (const auto secret = co_await client_.find(resources::kSecrets, ns, "environment"))
    for (const auto& entry : base::get_object(*secret, "data"))
      out[entry.key()] = {"", "secretKeyRef", "environment", std::string(entry.key())};
  co_return out;
}

// params: {host, path, port}. Without a host the workload's own URL is the route.
async::Task<base::Result<>> DeployResources::route(const RenderedWorkload& workload, const DeployTarget& target,
                                                   const ResourceRequest& request) {
  const json::value params(request.params);
  const std::string host = base::get_string(params, "host"), path = base::get_string(params, "path", "/");
  if (host.empty() || (host == workload.name + target.host && path == "/")) co_return base::Result<>{};
  if (workload.service.is_null())
    co_return base::fail(base::ErrorCode::kInvalid,
                         fmt::format("resource {} (route): the workload has no service.ports", request.name));
  const json::array& ports = workload.service.at("spec").at("ports").as_array();
  const std::string asked = port_param(params);
  std::int64_t port = asked.empty() ? base::get_int(ports[0], "port") : 0;
  std::vector<std::string> known;
  for (const json::value& one : ports) {
    const std::int64_t number = base::get_int(one, "port");
    known.push_back(std::to_string(number));
    if (asked == known.back() || asked == base::get_string(one, "name")) port = number;
  }
  if (port == 0)
    co_return base::fail(base::ErrorCode::kInvalid,
                         fmt::format("resource {} (route): params.port: service.ports has no {} (there is: {})",
                                     request.name, asked, base::join(known, ", ")));
  const json::value object{
      {"apiVersion", kRoutes.api_version()},
      {"kind", kRoutes.kind},
      {"metadata", {{"name", claim_name(workload, request)}, {"namespace", workload.ns}, {"labels", labels(workload)}}},
      {"spec",
       {{"parentRefs", json::array{{{"name", "edge"}, {"namespace", "mainstay-edge"}, {"sectionName", "https"}}}},
        {"hostnames", json::array{json::string(host)}},
        {"rules", json::array{{{"matches", json::array{{{"path", {{"type", "PathPrefix"}, {"value", path}}}}}},
                               {"backendRefs", json::array{{{"name", workload.name}, {"port", port}}}}}}}}}};
  try {
    co_await client_.apply(kRoutes, object);
  } catch (const base::StatusError& error) {
    co_return base::fail(base::ErrorCode::kInvalid,
                         fmt::format("resource {} (route): {}", request.name, error.message()));
  }
  co_return base::Result<>{};
}

async::Task<base::Result<std::shared_ptr<const ResourceValues>>> DeployResources::resolve(RenderedWorkload workload,
                                                                                          DeployTarget target,
                                                                                          net::BodyWriter* writer) {
  auto values = std::make_shared<ResourceValues>();
  // All are asked for before the first is waited for.
  for (const ResourceRequest& request : workload.resources)
    if (is_claimed(request.type)) co_await claim(workload, target, request);
  for (const ResourceRequest& request : workload.resources) {
    if (is_claimed(request.type)) {
      MAINSTAY_CO_TRY((*values)[request.name],
                      co_await wait(workload.ns, claim_name(workload, request), request.type, writer));
    } else if (request.type == "service-port") {
      MAINSTAY_CO_TRY((*values)[request.name], co_await service_port(workload.ns, request));
    } else if (request.type == "environment") {
      (*values)[request.name] = co_await environment(workload.ns);
    } else if (request.type == "route") {
      MAINSTAY_CO_TRY_VOID(co_await route(workload, target, request));
    }
  }
  co_return std::shared_ptr<const ResourceValues>(std::move(values));
}

async::Task<> DeployResources::settle(RenderedWorkload workload) {
  std::set<std::string> wanted, routes;
  for (const ResourceRequest& request : workload.resources) {
    if (is_claimed(request.type)) wanted.insert(claim_name(workload, request));
    if (request.type == "route") routes.insert(claim_name(workload, request));
  }
  const auto deployment = co_await client_.find(resources::kDeployments, workload.ns, workload.name);
  if (!deployment) co_return;
  const json::array owners{reconcile::owner_reference(*deployment, false)};
  client::ListQuery query;
  query.label_selector = fmt::format("{}={},app.kubernetes.io/managed-by=mainstay", kWorkloadLabel, workload.name);
  for (const auto& [resource, kept] : {std::pair(&kClaims, &wanted), std::pair(&kRoutes, &routes)}) {
    const client::ObjectList made = co_await client_.list_objects(*resource, workload.ns, query);
    for (const auto& object : made.items) {
      const std::string name = base::get_string(*object, "metadata.name");
      if (!kept->contains(name)) {
        co_await client_.remove(*resource, workload.ns, name);
      } else if (base::get_array(*object, "metadata.ownerReferences") != owners) {
        co_await client_.merge_patch(*resource, workload.ns, name, {{"metadata", {{"ownerReferences", owners}}}});
      }
    }
  }
}

}  // namespace mainstay::pipelines
