#include "capabilities/observe/exporter.h"

#include "base/log.h"
#include "capabilities/observe/kind_metrics.h"
#include "capabilities/observe/machine_metrics.h"
#include "capabilities/observe/object_metrics.h"
#include "capabilities/observe/storage_metrics.h"

namespace mainstay::observe {
namespace {
using ContextPtr = std::shared_ptr<api::RequestContext>;

net::Response exposition(std::string text) {
  net::Response response = net::Response::text(200, std::move(text));
  response.headers.set("Content-Type", "text/plain; version=0.0.4; charset=utf-8");
  return response;
}

struct Exporter {
  platform::Host* host;
  std::shared_ptr<Scrapes> scrapes;
  ObjectCaches caches;
  std::shared_ptr<KindMetrics> kinds;

  static async::Task<> open(std::shared_ptr<Exporter> self) {
    client::Caches& all = self->host->caches();
    ObjectCaches& c = self->caches;
    c.namespaces = all.of(client::resources::kNamespaces);
    c.nodes = all.of(client::resources::kNodes);
    c.pods = all.of(client::resources::kPods);
    c.deployments = all.of(client::resources::kDeployments);
    c.runs = all.of(client::resources::kWorkflowRuns);
    c.capabilities = all.of(client::resources::kCapabilities);
    if (self->host->api().types().find("mainstay.dev", "v1", "addresspools"))
      c.address_pools = all.of({"mainstay.dev", "v1", "addresspools", false, "AddressPool"});
    if (self->host->api().types().find("mainstay.dev", "v1", "resourceclaims"))
      c.claims = all.of({"mainstay.dev", "v1", "resourceclaims", true, "ResourceClaim"});
    self->kinds = std::make_shared<KindMetrics>([host = self->host](const client::Resource& r) {
      const bool served = host->api().types().find(r.group, r.version, r.plural) != nullptr;
      return served ? host->caches().of(r) : nullptr;
    });
    co_return;
  }

  static async::Task<net::Response> objects(std::shared_ptr<Exporter> self, ContextPtr) {
    if (!self->caches.pods) co_return exposition("");
    const auto storage = self->host->find<platform::StorageUsage>();
    co_return exposition(object_metrics(self->caches) + self->kinds->exposition(*self->caches.namespaces) +
                         (storage ? storage_metrics(*storage, *self->caches.namespaces) : ""));
  }
  static async::Task<net::Response> containers(std::shared_ptr<Exporter> self, ContextPtr context) {
    self->scrapes->note(context->user);
    const auto source = self->host->find<platform::StatsSource>();
    if (!source || !self->caches.pods) co_return exposition("");
    const auto pods = co_await source->pods();
    co_return exposition(container_metrics(pods, *self->caches.namespaces, *self->caches.pods));
  }
  static async::Task<net::Response> node(std::shared_ptr<Exporter> self, ContextPtr) {
    const std::function<std::string()> read = [dir = self->host->config().data_dir] {
      return node_metrics(dir) + certificate_metrics(dir);
    };
    co_return exposition(co_await self->host->runtime().blocking(read));
  }
};

}  // namespace

void add_exporter(platform::Host& host, std::shared_ptr<Scrapes> scrapes) {
  auto self = std::make_shared<Exporter>(Exporter{&host, std::move(scrapes), {}, nullptr});
  host.on_start("exporter", [self] { return Exporter::open(self); });
  using Handler = async::Task<net::Response> (*)(std::shared_ptr<Exporter>, ContextPtr);
  const std::tuple<const char*, const char*, Handler> routes[] = {
      {"/metrics/cadvisor", "What pods and containers use, under cAdvisor's names", &Exporter::containers},
      {"/metrics/objects", "The state of objects, under kube-state-metrics' names", &Exporter::objects},
      {"/metrics/node", "The machine under node_exporter's names, and when certificates end", &Exporter::node}};
  for (const auto& [path, summary, handler] : routes) {
    host.api().add_route({"GET", path, api::Require([path = std::string(path)](const api::RequestContext&) {
                            api::Attributes what;
                            what.verb = "get";
                            what.path = path;
                            return what;
                          }),
                          summary, [self, handler = handler](ContextPtr c) { return handler(self, std::move(c)); },
                          nullptr});
  }
}

}  // namespace mainstay::observe
