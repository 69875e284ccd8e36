#include "net/server.h"

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
#include "net/listen.h"

namespace mainstay::net {
namespace {

struct Listener {
  Listener(const async::Executor& executor, int fd, bool is_tls, std::shared_ptr<Deadlines> deadlines)
      : stream(executor, fd, std::move(deadlines)), tls(is_tls) {}
  Stream stream;  // only waits: a listening socket is readable when there is somebody to accept
  bool tls;
};

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
  MAINSTAY_TRY(const int fd, open_bound(address, SOCK_STREAM));
  const base::HostPort bound = local_address(fd);
  auto listener = std::make_shared<Listener>(shared->runtime.executor(), fd, tls.has_value(), shared->deadlines);
  shared->acceptors.spawn("accept", accept_loop(shared, std::move(listener)));
  return bound;
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
