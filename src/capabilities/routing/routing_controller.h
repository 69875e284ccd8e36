// Services of environments to routes of the edge, and the outcome back into the Service's status.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "capabilities/routing/dns/dns_service.h"
#include "capabilities/routing/edge.h"
#include "capabilities/routing/route.h"
#include "platform/host.h"

namespace mainstay::routing {

class RoutingController : public std::enable_shared_from_this<RoutingController> {
 public:
  // `dns` may be null: then nobody is told the hosts.
  RoutingController(platform::Host& host, std::shared_ptr<Edge> edge, std::shared_ptr<dns::DnsService> dns);
  static void add_to(platform::Host& host, std::shared_ptr<RoutingController> self);
  // Tells the edge of all there is before it starts, so that it serves from its first moment.
  async::Task<> begin();
  async::Task<reconcile::Outcome> reconcile(reconcile::Name name);

 private:
  RouteDecision decide(const json::value& service) const;
  void publish(const std::string& key, const std::optional<Route>& route);
  async::Task<> write_status(client::ObjectPtr service, RouteDecision decision);

  platform::Host& host_;
  std::shared_ptr<Edge> edge_;
  std::shared_ptr<dns::DnsService> dns_;
  client::ApiClient client_;
  std::shared_ptr<client::Cache> services_, slices_, namespaces_, pods_;
};

// The Service as it should be after the decision: status.loadBalancer, condition Routed and annotation
// mainstay.dev/url. Pure but for the time.
void write_route_status(json::value& service, const RouteDecision& decision, const base::Config& config,
                        base::SystemTime now);

}  // namespace mainstay::routing
