// The state of further kinds of objects as metrics: under kube-state-metrics' names where it has any, the Gateway API's
// under those of gateway-api-state-metrics, Mainstay's own under mainstay_…. Pure, but for the caches it reads.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "client/cache.h"

namespace mainstay::observe {

struct MetricKind;  // a kind and its families

class KindMetrics {
 public:
  // `open` answers the cache of a kind, or null where the platform does not serve it.
  using Open = std::function<std::shared_ptr<client::Cache>(const client::Resource&)>;
  explicit KindMetrics(const Open& open);
  // In the Prometheus text format. `namespaces` says whose each object is.
  std::string exposition(const client::Cache& namespaces) const;

 private:
  std::vector<std::pair<const MetricKind*, std::shared_ptr<client::Cache>>> kinds_;
};

}  // namespace mainstay::observe
