#pragma once
#include "capabilities/observe/scrapes.h"
#include "platform/host.h"

namespace mainstay::observe {

// GET /metrics/cadvisor (pods and containers), /metrics/objects (the state of objects), /metrics/node (the machine and
// certificates), beside /metrics. For the metrics engine, whose scrapes are noted, or one that a company has already.
void add_exporter(platform::Host& host, std::shared_ptr<Scrapes> scrapes);

}  // namespace mainstay::observe
