// EndpointSlice: the addresses behind a Service, from its pods.
#pragma once
#include <memory>
#include <vector>

#include "platform/host.h"

namespace mainstay::compute {
namespace json = boost::json;

// The slices that a Service with a selector should have. Pods that resolve its ports differently (named ports) are in
// slices of their own. `ready` is readiness without termination, `serving` is readiness alone; publishNotReadyAddresses
// makes every pod ready. Deterministic: the same pods give the same slices under the same names. Pure.
std::vector<json::value> endpoint_slices(const json::value& service, const std::vector<client::ObjectPtr>& pods);

class EndpointSliceController : public std::enable_shared_from_this<EndpointSliceController> {
 public:
  explicit EndpointSliceController(platform::Host& host);
  static void add_to(platform::Host& host);
  async::Task<reconcile::Outcome> reconcile(reconcile::Name name);

 private:
  client::ApiClient client_;
  std::shared_ptr<client::Cache> services_, pods_, slices_;
};

}  // namespace mainstay::compute
