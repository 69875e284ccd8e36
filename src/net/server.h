// The HTTP/1.1 server over TLS or plain TCP. One coroutine a connection; keep-alive; bounded.
#pragma once
#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "async/runtime.h"
#include "base/config.h"
#include "net/http.h"
#include "net/tls.h"

namespace mainstay::net {

struct ServerLimits {
  std::size_t max_connections = 4096;
  std::size_t max_header_bytes = 64 * 1024;
  std::chrono::seconds header_timeout{20};  // also the TLS handshake's
  std::chrono::seconds idle_timeout{120};   // between requests, and between reads of a body
};

class Server {
 public:
  // The handler may throw StatusError (answered as JSON Status) or anything else (logged, answered 500 without detail).
  Server(async::Runtime& runtime, Handler handler, ServerLimits limits = {});
  ~Server();
  // Binds and starts to accept. Port 0 picks a free one. May be called again for further addresses. The error names the
  // address, and for a taken port the process that holds it where that can be seen.
  base::Result<base::HostPort> listen(const base::HostPort& address, std::optional<ServerTls> tls);
  // Replaces certificate and key for later handshakes, on all TLS listeners.
  base::Result<> set_tls(const ServerTls& tls);
  // Stops accepting, lets requests under way end for at most `grace`, then cuts them.
  async::Task<> stop(std::chrono::milliseconds grace);
  std::size_t connections() const;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace mainstay::net
