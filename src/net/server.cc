#include "net/server.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>
#include <vector>

#include "base/log.h"
#include "net/connection.h"
#include "net/port_holder.h"

namespace mainstay::net {
namespace {

struct Listener {
  Listener(const async::Executor& executor, int fd, bool is_tls, std::shared_ptr<Deadlines> deadlines)
      : stream(executor, fd, std::move(deadlines)), tls(is_tls) {}
  Stream stream;  // only waits: a listening socket is readable when there is somebody to accept
  bool tls;
};

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

base::Result<Address> address_of(const base::HostPort& at) {
  Address out;
  auto* v4 = reinterpret_cast<sockaddr_in*>(&out.storage);
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&out.storage);
  if (inet_pton(AF_INET, at.host.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(at.port);
    out.size = sizeof *v4;
  } else if (inet_pton(AF_INET6, at.host.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(at.port);
    out.size = sizeof *v6;
  } else {
    return base::fail(base::ErrorCode::kInvalid, fmt::format("\"{}\" is not an IP address to listen on", at.host));
  }
  return out;
}

base::HostPort host_port_of(const sockaddr_storage& storage) {
  char text[INET6_ADDRSTRLEN] = "";
  if (storage.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(storage);
    inet_ntop(AF_INET, &v4.sin_addr, text, sizeof text);
    return {text, ntohs(v4.sin_port)};
  }
  const auto& v6 = reinterpret_cast<const sockaddr_in6&>(storage);
  inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof text);
  return {text, ntohs(v6.sin6_port)};
}

std::unexpected<base::Error> cannot_listen(const base::HostPort& at, int error) {
  if (error == EADDRINUSE) {
    const std::string holder = port_holder(at.port);
    return base::fail(
        base::ErrorCode::kAlreadyExists,
        fmt::format("cannot listen on {}: the port is taken{}{}; stop that program or choose another port",
                    at.to_string(), holder.empty() ? "" : " by ", holder));
  }
  if (error == EACCES) {
    return base::fail(
        base::ErrorCode::kForbidden,
        fmt::format("cannot listen on {}: ports below 1024 need root or CAP_NET_BIND_SERVICE", at.to_string()));
  }
  if (error == EADDRNOTAVAIL) {
    return base::fail(base::ErrorCode::kInvalid,
                      fmt::format("cannot listen on {}: this machine does not have that address", at.to_string()));
  }
  return base::fail(base::ErrorCode::kInternal,
                    fmt::format("cannot listen on {}: {}", at.to_string(), std::generic_category().message(error)));
}

base::Result<int> open_listener(const base::HostPort& at) {
  MAINSTAY_TRY(const Address address, address_of(at));
  const int fd = ::socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return cannot_listen(at, errno);
  const int on = 1, off = 0;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (address.storage.ss_family == AF_INET6 && at.host == "::")
    ::setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  if (::bind(fd, reinterpret_cast<const sockaddr*>(&address.storage), address.size) != 0 || ::listen(fd, 4096) != 0) {
    const int error = errno;
    ::close(fd);
    return cannot_listen(at, error);
  }
  return fd;
}

void tune(int fd) {
  const int on = 1, idle = 30, interval = 10, count = 3;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  // Finds peers that have gone without a word: streams and WebSockets have no other limit.
  ::setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
  ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
  ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
}

// At the limit the connection that has been idle longest makes room; false where all are busy.
bool make_room(ServerShared& server) {
  if (server.connections.size() < server.limits.max_connections) return true;
  Connection* oldest = nullptr;
  for (Connection* connection : server.connections) {
    if (connection->is_idle() && (!oldest || connection->deadline() < oldest->deadline())) oldest = connection;
  }
  if (!oldest) return false;
  oldest->close();
  return true;
}

void admit(const std::shared_ptr<ServerShared>& server, int fd, const sockaddr_storage& peer, bool tls) {
  if (!make_room(*server)) {
    base::log::warn("net", "refused a connection: all {} are busy", server->limits.max_connections);
    ::close(fd);
    return;
  }
  tune(fd);
  auto connection =
      std::make_shared<Connection>(server, fd, host_port_of(peer).to_string(), tls ? server->tls : TlsContext());
  server->group.spawn("connection", Connection::run(std::move(connection)));
}

async::Task<> accept_loop(std::shared_ptr<ServerShared> server, std::shared_ptr<Listener> listener) {
  for (;;) {
    if (co_await listener->stream.wait(Stream::Want::kRead) != Io::kOk) co_return;
    for (int burst = 0; burst < 64; ++burst) {
      sockaddr_storage peer{};
      socklen_t size = sizeof peer;
      const int fd =
          ::accept4(listener->stream.fd(), reinterpret_cast<sockaddr*>(&peer), &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd >= 0) {
        admit(server, fd, peer, listener->tls);
      } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        base::log::error("net", "cannot accept connections: {}", std::generic_category().message(errno));
        co_await async::sleep_for(std::chrono::milliseconds(200));  // until some have ended
        break;
      } else if (errno != ECONNABORTED && errno != EINTR) {
        break;
      }
    }
  }
}

}  // namespace

struct Server::Impl {
  std::shared_ptr<ServerShared> shared;
};

Server::Server(async::Runtime& runtime, Handler handler, ServerLimits limits)
    : impl_(std::make_shared<Impl>(Impl{std::make_shared<ServerShared>(runtime, std::move(handler), limits)})) {}

Server::~Server() = default;

base::Result<base::HostPort> Server::listen(const base::HostPort& address, std::optional<ServerTls> tls) {
  const auto& shared = impl_->shared;
  if (tls) MAINSTAY_TRY_VOID(set_tls(*tls));
  MAINSTAY_TRY(const int fd, open_listener(address));
  sockaddr_storage bound{};
  socklen_t size = sizeof bound;
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&bound), &size);
  auto listener = std::make_shared<Listener>(shared->runtime.executor(), fd, tls.has_value(), shared->deadlines);
  shared->acceptors.spawn("accept", accept_loop(shared, std::move(listener)));
  return host_port_of(bound);
}

base::Result<> Server::set_tls(const ServerTls& tls) {
  MAINSTAY_TRY(impl_->shared->tls, make_server_context(tls));
  return {};
}

async::Task<> Server::stop(std::chrono::milliseconds grace) {
  const auto shared = impl_->shared;
  shared->stopping = true;
  shared->acceptors.cancel();
  co_await shared->acceptors.join();
  for (Connection* connection : shared->connections) {
    if (connection->is_idle()) connection->close();
  }
  const auto deadline = std::chrono::steady_clock::now() + grace;
  try {
    while (!shared->connections.empty()) {
      if (!co_await shared->ended.wait_for(deadline - std::chrono::steady_clock::now())) break;
    }
  } catch (const async::Cancelled&) {
    // stopped in a hurry: no grace
  }
  shared->group.cancel();
  co_await shared->group.join();
}

std::size_t Server::connections() const { return impl_->shared->connections.size(); }

}  // namespace mainstay::net
