// Raw TCP connections with mutual TLS, for proxies: accept or connect on sockets that the caller made (in whatever
// network namespace), secure them, and carry bytes from one to the other. On the loop only.
#pragma once
#include <chrono>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "async/runtime.h"
#include "base/result.h"

namespace mainstay::net {

// What one side of a connection shows, and by whom the other must have been vouched for. TLS 1.3 alone (RFC 8446).
class MutualTls {
 public:
  // PEM. Errors: a certificate or key is of no use.
  static base::Result<std::shared_ptr<MutualTls>> make(std::string certificate_pem, std::string private_key_pem,
                                                       std::string authority_pem);

 private:
  friend class TcpConnection;
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

struct TlsPeer {
  std::string certificate_pem;  // verified against the authority
  std::string server_name;      // what the client asked for (RFC 6066 section 3); "" where nothing
};

class TcpConnection {
 public:
  // Takes the descriptor of a connected socket, which must not block.
  TcpConnection(async::Executor executor, int fd);
  ~TcpConnection();
  TcpConnection(const TcpConnection&) = delete;

  // kUnauthenticated where the peer shows no certificate of the authority, kTimeout, kUnavailable.
  async::Task<base::Result<TlsPeer>> accept_tls(std::shared_ptr<MutualTls> tls, std::chrono::nanoseconds limit);
  // The caller compares the certificate with whom it meant: names are not checked here.
  async::Task<base::Result<TlsPeer>> connect_tls(std::shared_ptr<MutualTls> tls, std::string server_name,
                                                 std::chrono::nanoseconds limit);
  // A line without its newline; nullopt at the end, or where it is longer than `max_bytes`.
  async::Task<std::optional<std::string>> read_line(std::size_t max_bytes);
  // At least one byte; 0 at the end of the peer's side, or where the connection broke.
  async::Task<std::size_t> read(std::span<char> into);
  async::Task<bool> write(std::string text);  // false: the connection is gone
  void shutdown_write();
  void close();
  int fd() const;

 private:
  friend struct Relay;
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

// Carries bytes both ways until both sides have ended, or one broke. The end of one side is passed on to the other
// while its answers still flow.
async::Task<> relay(async::TaskGroup& tasks, std::shared_ptr<TcpConnection> a, std::shared_ptr<TcpConnection> b);

// Connects a socket of the caller's, which must not block, to an IPv4 address. The descriptor stays the caller's.
async::Task<base::Result<>> connect_socket(int fd, std::string address, std::uint16_t port,
                                           std::chrono::nanoseconds limit);

class TcpListener {
 public:
  // Takes the descriptor of a listening socket, which must not block.
  TcpListener(async::Executor executor, int fd);
  ~TcpListener();
  TcpListener(const TcpListener&) = delete;
  // The next connection's descriptor, the caller's; -1 once the listener is closed.
  async::Task<int> accept();
  void close();

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace mainstay::net
