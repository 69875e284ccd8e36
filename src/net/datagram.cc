#include "net/datagram.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <vector>

#include "async/suspend.h"
#include "base/log.h"
#include "net/listen.h"

namespace mainstay::net {
namespace asio = boost::asio;
namespace {

using Descriptor = asio::posix::stream_descriptor;

constexpr std::size_t kBatch = 32;
constexpr std::size_t kLargestQuery = 4096;
// Batches before others on the loop have their turn, however fast datagrams come.
constexpr int kFairShare = 8;

async::Task<> readable(Descriptor& descriptor) {
  MAINSTAY_CHECK_CANCELLED();
  auto [error] = co_await descriptor.async_wait(Descriptor::wait_read, asio::as_tuple(asio::use_awaitable));
  if (error) throw async::Cancelled();
}

class Server final : public DatagramServer {
 public:
  Server(const async::Executor& executor, int fd) : descriptor_(executor, fd) {}

  base::HostPort local() const override { return local_address(fd()); }

  void send(const Peer& to, std::string_view message) override {
    ::sendto(fd(), message.data(), message.size(), MSG_DONTWAIT, &to.any, to.size);
  }

 protected:
  async::Task<> run(Answer answer, std::size_t reply_size) override {
    in_.resize(kBatch * kLargestQuery);
    out_.resize(kBatch * reply_size);
    for (int burst = 0;; ++burst) {
      const int received = receive();
      if (received > 0) {
        reply(received, answer, reply_size);
        if (burst % kFairShare == 0) co_await async::yield();
      } else if (errno == EAGAIN || errno == EINTR) {
        co_await readable(descriptor_);
      } else if (errno != ECONNREFUSED) {  // an earlier reply's port was closed: nothing of ours
        base::log::error("net", "receiving at {}: {}", local().to_string(), std::generic_category().message(errno));
        co_await async::sleep_for(std::chrono::milliseconds(200));
      }
    }
  }

 private:
  int fd() const { return const_cast<Descriptor&>(descriptor_).native_handle(); }

  int receive() {
    for (std::size_t i = 0; i < kBatch; ++i) {
      parts_[i] = {in_.data() + i * kLargestQuery, kLargestQuery};
      messages_[i] = {};
      messages_[i].msg_hdr.msg_iov = &parts_[i];
      messages_[i].msg_hdr.msg_iovlen = 1;
      messages_[i].msg_hdr.msg_name = &peers_[i].any;
      messages_[i].msg_hdr.msg_namelen = sizeof(sockaddr_in6);
    }
    return ::recvmmsg(fd(), messages_.data(), kBatch, MSG_DONTWAIT, nullptr);
  }

  void reply(int received, const Answer& answer, std::size_t reply_size) {
    unsigned replies = 0;
    for (std::size_t i = 0; i < static_cast<std::size_t>(received); ++i) {
      if ((messages_[i].msg_hdr.msg_flags & MSG_TRUNC) != 0) continue;  // no query is that long
      peers_[i].size = messages_[i].msg_hdr.msg_namelen;
      const std::span<char> room(out_.data() + i * reply_size, reply_size);
      const std::size_t size = answer({in_.data() + i * kLargestQuery, messages_[i].msg_len}, peers_[i], room);
      if (size == 0) continue;
      reply_parts_[replies] = {room.data(), size};
      mmsghdr& message = replies_[replies++];
      message = {};
      message.msg_hdr.msg_iov = &reply_parts_[replies - 1];
      message.msg_hdr.msg_iovlen = 1;
      message.msg_hdr.msg_name = &peers_[i].any;
      message.msg_hdr.msg_namelen = peers_[i].size;
    }
    for (unsigned sent = 0; sent < replies;) {
      const int n = ::sendmmsg(fd(), replies_.data() + sent, replies - sent, MSG_DONTWAIT);
      // One that cannot be sent is lost; those after it are not.
      sent += n > 0 ? static_cast<unsigned>(n) : 1;
    }
  }

  Descriptor descriptor_;
  std::vector<char> in_, out_;
  std::array<Peer, kBatch> peers_;
  std::array<iovec, kBatch> parts_, reply_parts_;
  std::array<mmsghdr, kBatch> messages_, replies_;
};

async::Task<base::Result<std::string>> exchange(int fd, std::string message,
                                                std::function<bool(std::string_view)> accept) {
  Descriptor descriptor(co_await asio::this_coro::executor, fd);
  const auto failed = [](int error) {
    return base::fail(base::ErrorCode::kUnavailable, std::generic_category().message(error));
  };
  if (::send(fd, message.data(), message.size(), 0) < 0) co_return failed(errno);
  std::string in(65535, '\0');
  for (;;) {
    const auto n = ::recv(fd, in.data(), in.size(), MSG_DONTWAIT);
    if (n >= 0) {
      if (accept(std::string_view(in.data(), static_cast<std::size_t>(n))))
        co_return in.substr(0, static_cast<std::size_t>(n));
    } else if (errno == EAGAIN || errno == EINTR) {
      co_await readable(descriptor);
    } else {
      co_return failed(errno);
    }
  }
}

}  // namespace

std::optional<std::uint32_t> Peer::ipv4() const {
  if (any.sa_family == AF_INET) return ntohl(v4.sin_addr.s_addr);
  if (any.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) {
    std::uint32_t address = 0;
    std::memcpy(&address, v6.sin6_addr.s6_addr + 12, sizeof address);
    return ntohl(address);
  }
  return std::nullopt;
}

bool Peer::is_loopback() const {
  if (const auto address = ipv4()) return *address >> 24 == 127;
  return any.sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr);
}

base::Result<std::shared_ptr<DatagramServer>> DatagramServer::open(async::Executor executor, const base::HostPort& at,
                                                                   bool address_may_come_later) {
  MAINSTAY_TRY(const int fd,
               open_bound(at, SOCK_DGRAM, address_may_come_later ? AddressMust::kMayComeLater : AddressMust::kExist));
  const int buffer = 1 << 20;
  ::setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
  return std::make_shared<Server>(executor, fd);
}

async::Task<> DatagramServer::serve(std::shared_ptr<DatagramServer> self, Answer answer, std::size_t reply_size) {
  co_await self->run(std::move(answer), reply_size);
}

async::Task<base::Result<std::string>> datagram_exchange(base::HostPort to, std::string message,
                                                         std::function<bool(std::string_view)> accept,
                                                         std::chrono::milliseconds limit) {
  MAINSTAY_CO_TRY(const SocketAddress address, socket_address(to));
  const int fd = ::socket(address.storage.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0)
    co_return base::fail(base::ErrorCode::kExhausted,
                         "cannot make a socket: " + std::generic_category().message(errno));
  // Connected: the kernel drops what others send, and tells of a port where nobody listens.
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address.storage), address.size) != 0) {
    const int error = errno;
    ::close(fd);
    co_return base::fail(base::ErrorCode::kUnavailable,
                         fmt::format("{}: {}", to.to_string(), std::generic_category().message(error)));
  }
  auto answer = co_await async::with_timeout(exchange(fd, std::move(message), std::move(accept)), limit);
  if (!answer)
    co_return base::fail(base::ErrorCode::kTimeout,
                         fmt::format("no answer from {} within {} ms", to.to_string(), limit.count()));
  co_return *std::move(answer);
}

}  // namespace mainstay::net
