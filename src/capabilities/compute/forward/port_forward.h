// pods/<name>/portforward over a WebSocket, as `kubectl port-forward` asks for it since 1.31: each connection is a pair
// of SPDY streams, one for its bytes and one for what went wrong.
#pragma once
#include <memory>
#include <string>

#include "api/route.h"
#include "capabilities/compute/agent/agent.h"

namespace mainstay::compute {

// The protocol alone: to ports of the loopback address in a network namespace, by its path; "" is our own.
net::WebSocketBody forwarded_ports(async::Runtime& runtime, std::string netns);

async::Task<net::Response> serve_port_forward(std::shared_ptr<Agent> agent,
                                              std::shared_ptr<api::RequestContext> context);

}  // namespace mainstay::compute
