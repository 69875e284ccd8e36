// UDP: a server that answers each datagram on the spot or later, and one question to one peer. On the loop.
#pragma once
#include <netinet/in.h>
#include <sys/socket.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "async/runtime.h"
#include "base/config.h"

namespace mainstay::net {

// Who sent a datagram or holds the other end of a connection.
struct Peer {
  union {
    sockaddr any;
    sockaddr_in v4;
    sockaddr_in6 v6;
  };
  socklen_t size = 0;
  Peer() : v6{} {}
  std::optional<std::uint32_t> ipv4() const;  // host byte order; also of an IPv4 address mapped into IPv6
  bool is_loopback() const;
};

class DatagramServer {
 public:
  // Writes the reply into `out` and gives its length; 0: none now (see send), or never.
  using Answer = std::function<std::size_t(std::string_view message, const Peer& from, std::span<char> out)>;
  // `address_may_come_later`: binds although no interface has the address yet. Errors as net::Server's.
  static base::Result<std::shared_ptr<DatagramServer>> open(async::Executor executor, const base::HostPort& at,
                                                            bool address_may_come_later = false);
  virtual ~DatagramServer() = default;
  virtual base::HostPort local() const = 0;
  // Answers until cancelled. Datagrams are read and replies of at most `reply_size` bytes are written many a system
  // call.
  static async::Task<> serve(std::shared_ptr<DatagramServer> self, Answer answer, std::size_t reply_size);
  // Where the socket's buffer is full the datagram is lost, as the network may lose it.
  virtual void send(const Peer& to, std::string_view message) = 0;

 protected:
  virtual async::Task<> run(Answer answer, std::size_t reply_size) = 0;
};

// Sends from a fresh socket, whose port the kernel chooses at random, and waits for the first datagram of that peer
// that `accept` takes. Errors: kTimeout, kUnavailable (nobody listens there).
async::Task<base::Result<std::string>> datagram_exchange(base::HostPort to, std::string message,
                                                         std::function<bool(std::string_view)> accept,
                                                         std::chrono::milliseconds limit);

}  // namespace mainstay::net
