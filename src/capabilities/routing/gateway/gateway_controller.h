// Gateways, routes and Ingresses to the edge's rules, and the outcome back into their status. All are worked out
// together, since they contend for hosts; changes that come while that is under way are taken together.
#pragma once
#include <memory>

#include "async/sync.h"
#include "capabilities/routing/dns/dns_service.h"
#include "capabilities/routing/edge.h"
#include "capabilities/routing/gateway/compile.h"
#include "platform/host.h"

namespace mainstay::routing {

class GatewayController : public std::enable_shared_from_this<GatewayController> {
 public:
  // `dns` may be null.
  GatewayController(platform::Host& host, std::shared_ptr<Edge> edge, std::shared_ptr<dns::DnsService> dns);
  // Tells the edge of all there is before it starts, and follows the objects from then on.
  async::Task<> begin();
  // Until cancelled.
  static async::Task<> run(std::shared_ptr<GatewayController> self);

 private:
  Compiled compile_now() const;
  RuleSet take_rules(Compiled& compiled);
  async::Task<bool> pass();  // false: try again soon
  async::Task<> write_statuses(Compiled compiled, std::string trouble);
  async::Task<> write_route_statuses(Compiled compiled);

  platform::Host& host_;
  std::shared_ptr<Edge> edge_;
  std::shared_ptr<dns::DnsService> dns_;
  client::ApiClient client_;
  std::shared_ptr<client::Cache> classes_, gateways_, routes_, grpc_routes_, ingress_classes_, ingresses_, grants_;
  std::shared_ptr<client::Cache> services_, slices_, namespaces_, teams_, secrets_;
  async::Event changed_;
  bool dirty_ = true;
};

// The objects as they should be with the outcome in their status; `trouble` says why the edge does not serve it. Pure.
void write_gateway_status(json::value& gateway, const std::vector<ListenerStatus>& listeners,
                          const std::string& address, const std::string& trouble, base::SystemTime now);
void write_class_status(json::value& gateway_class, base::SystemTime now);
void write_route_parents(json::value& route, const std::vector<ParentStatus>& parents, base::SystemTime now);
void write_ingress_status(json::value& ingress, const Condition& accepted, const std::string& address,
                          base::SystemTime now);
// Takes back what was said of an Ingress that went over to another controller's class; what that one says stays.
void clear_ingress_status(json::value& ingress, const std::string& address);

}  // namespace mainstay::routing
