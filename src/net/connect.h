// Outgoing connections.
#pragma once
#include <chrono>
#include <cstdint>
#include <string>

#include "async/runtime.h"
#include "base/result.h"

namespace mainstay::net {

// A connected, non-blocking descriptor; the caller's. Names are resolved, and their addresses tried in order.
async::Task<base::Result<int>> connect_tcp(std::string host, std::uint16_t port, std::chrono::nanoseconds limit);
async::Task<base::Result<int>> connect_unix(std::string path, std::chrono::nanoseconds limit);

}  // namespace mainstay::net
