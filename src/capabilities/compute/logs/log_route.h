// GET pods/<name>/log: a container's output, as kubectl logs reads it.
#pragma once
#include <memory>

#include "api/route.h"
#include "capabilities/compute/agent/agent.h"
#include "capabilities/compute/logs/cri_log.h"

namespace mainstay::compute {

// The query's tailLines, sinceSeconds, sinceTime, timestamps and limitBytes; throws StatusError 400.
LogQuery read_log_query(const net::Query& query, base::SystemTime now);
async::Task<net::Response> serve_log(std::shared_ptr<Agent> agent, std::shared_ptr<api::RequestContext> context);

}  // namespace mainstay::compute
