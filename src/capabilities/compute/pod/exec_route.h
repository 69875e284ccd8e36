// pods/<name>/exec over WebSocket (v5.channel.k8s.io and v4): a command in a running container, with or without a
// terminal.
#pragma once
#include <memory>

#include "api/route.h"
#include "capabilities/compute/agent/agent.h"

namespace mainstay::compute {

async::Task<net::Response> serve_exec(std::shared_ptr<Agent> agent, std::shared_ptr<api::RequestContext> context);

}  // namespace mainstay::compute
