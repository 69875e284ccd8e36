#include "net/framed.h"

#include <fmt/format.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include <boost/asio/this_coro.hpp>
#include <cerrno>
#include <map>

#include "net/connect.h"
#include "net/listen.h"
#include "net/stream.h"

namespace mainstay::net {
namespace {

// False where the peer ended, broke off or was too slow.
async::Task<bool> read_exactly(Stream& stream, std::span<char> into) {
  while (!into.empty()) {
    const IoResult result = co_await stream.read_some(into);
    if (result.state != Io::kOk) co_return false;
    into = into.subspan(result.n);
  }
  co_return true;
}

async::Task<bool> read_message(Stream& stream, std::string& out) {
  char length[2];
  if (!co_await read_exactly(stream, length)) co_return false;
  out.resize(
      static_cast<std::size_t>(static_cast<unsigned char>(length[0]) << 8 | static_cast<unsigned char>(length[1])));
  co_return co_await read_exactly(stream, out);
}

async::Task<bool> write_message(Stream& stream, std::string_view message) {
  const char length[2] = {static_cast<char>(message.size() >> 8), static_cast<char>(message.size() & 0xff)};
  co_return co_await stream.write({length, 2}, message) == Io::kOk;
}

}  // namespace

struct FramedServer::Impl {
  Impl(async::Executor e, Handler h, FramedLimits l)
      : executor(e), handler(std::move(h)), limits(l), deadlines(std::make_shared<Deadlines>(e)), tasks(e, "framed") {}
  async::Executor executor;
  Handler handler;
  FramedLimits limits;
  std::shared_ptr<Deadlines> deadlines;
  async::TaskGroup tasks;
  std::size_t connections = 0;
  std::map<std::string, std::size_t> by_peer;

  static async::Task<> serve(std::shared_ptr<Impl> self, int fd, Peer peer, std::string address);
  static async::Task<> accept_all(std::shared_ptr<Impl> self, std::shared_ptr<Stream> listener);
};

async::Task<> FramedServer::Impl::serve(std::shared_ptr<Impl> self, int fd, Peer peer, std::string address) {
  struct Counted {
    Impl& impl;
    std::string address;
    Counted(Impl& i, std::string a) : impl(i), address(std::move(a)) {
      ++impl.connections;
      ++impl.by_peer[address];
    }
    ~Counted() {
      --impl.connections;
      if (--impl.by_peer[address] == 0) impl.by_peer.erase(address);
    }
  };
  Stream stream(self->executor, fd, self->deadlines);
  const Counted counted(*self, std::move(address));
  if (self->connections > self->limits.max_connections || self->by_peer[counted.address] > self->limits.max_of_a_peer)
    co_return;
  for (std::string message;;) {
    stream.deadline_in(self->limits.idle);
    if (!co_await read_message(stream, message)) co_return;
    stream.no_deadline();
    const std::string reply = co_await self->handler(std::move(message), peer);
    stream.deadline_in(self->limits.idle);
    if (reply.empty() || reply.size() > 65535 || !co_await write_message(stream, reply)) co_return;
  }
}

async::Task<> FramedServer::Impl::accept_all(std::shared_ptr<Impl> self, std::shared_ptr<Stream> listener) {
  for (;;) {
    if (co_await listener->wait(Stream::Want::kRead) != Io::kOk) co_return;
    for (int burst = 0; burst < 64; ++burst) {
      sockaddr_storage from{};
      socklen_t size = sizeof from;
      const int fd = ::accept4(listener->fd(), reinterpret_cast<sockaddr*>(&from), &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd >= 0) {
        const int on = 1;
        ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        Peer peer;
        peer.size = size;
        if (from.ss_family == AF_INET) {
          peer.v4 = reinterpret_cast<const sockaddr_in&>(from);
        } else {
          peer.v6 = reinterpret_cast<const sockaddr_in6&>(from);
        }
        self->tasks.spawn("framed connection", serve(self, fd, peer, host_port_of(from).host));
      } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        co_await async::sleep_for(std::chrono::milliseconds(200));  // until some have ended
        break;
      } else if (errno != ECONNABORTED && errno != EINTR) {
        break;
      }
    }
  }
}

FramedServer::FramedServer(async::Executor executor, Handler handler, FramedLimits limits)
    : impl_(std::make_shared<Impl>(executor, std::move(handler), limits)) {}

FramedServer::~FramedServer() = default;

base::Result<base::HostPort> FramedServer::listen(const base::HostPort& at, bool address_may_come_later) {
  MAINSTAY_TRY(const int fd,
               open_bound(at, SOCK_STREAM, address_may_come_later ? AddressMust::kMayComeLater : AddressMust::kExist));
  const base::HostPort bound = local_address(fd);
  impl_->tasks.spawn("framed accept",
                     Impl::accept_all(impl_, std::make_shared<Stream>(impl_->executor, fd, impl_->deadlines)));
  return bound;
}

async::Task<> FramedServer::stop() {
  const auto impl = impl_;
  impl->tasks.cancel();
  co_await impl->tasks.join();
}

async::Task<base::Result<std::string>> framed_exchange(base::HostPort to, std::string message,
                                                       std::chrono::milliseconds limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  const async::Executor executor = co_await boost::asio::this_coro::executor;
  MAINSTAY_CO_TRY(const int fd, co_await connect_tcp(to.host, to.port, limit));
  Stream stream(executor, fd, std::make_shared<Deadlines>(executor));
  stream.deadline(deadline);
  std::string reply;
  if (!co_await write_message(stream, message) || !co_await read_message(stream, reply))
    co_return base::fail(base::ErrorCode::kUnavailable,
                         fmt::format("{} gave no whole answer over TCP in time", to.to_string()));
  co_return reply;
}

}  // namespace mainstay::net
