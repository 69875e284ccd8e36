// TCP connections that carry messages of at most 65535 bytes, each after its length in two bytes: DNS over TCP
// (RFC 1035, section 4.2.2; RFC 7766). On the loop.
#pragma once
#include <functional>
#include <memory>
#include <string>

#include "net/datagram.h"

namespace mainstay::net {

struct FramedLimits {
  std::size_t max_connections = 256;  // of all together; further ones are closed at once
  std::size_t max_of_a_peer = 32;
  std::chrono::seconds idle{10};  // for a whole message, and between two
};

class FramedServer {
 public:
  // The reply, or "" to close the connection. One at a time a connection.
  using Handler = std::function<async::Task<std::string>(std::string message, Peer from)>;
  FramedServer(async::Executor executor, Handler handler, FramedLimits limits = {});
  ~FramedServer();
  base::Result<base::HostPort> listen(const base::HostPort& at, bool address_may_come_later = false);
  async::Task<> stop();  // cuts all; call it before the end

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

// One message to a peer and its reply. Errors: kUnavailable, kTimeout.
async::Task<base::Result<std::string>> framed_exchange(base::HostPort to, std::string message,
                                                       std::chrono::milliseconds limit);

}  // namespace mainstay::net
