#pragma once
#include <memory>

#include "capabilities/observe/metrics_engine.h"
#include "capabilities/observe/scope.h"
#include "platform/host.h"

namespace mainstay::observe {

// What of a query's parameters goes on to the engine, as a form: those of the Prometheus API and no other, so that
// nobody brings extra_filters or extra_label of their own, and our filter last. `filter` "" for none.
std::string confined_form(const std::vector<std::pair<std::string, std::string>>& parameters,
                          const std::string& filter);

// GET and POST /prometheus/api/v1/{query,query_range,series,labels,label/{name}/values,metadata,status/buildinfo}.
void add_prometheus_routes(platform::Host& host, std::shared_ptr<MetricsEngine> engine);

}  // namespace mainstay::observe
