#include "net/connect.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <vector>

#include "async/suspend.h"

namespace mainstay::net {
namespace asio = boost::asio;
namespace {

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

std::optional<Address> numeric(const std::string& host, std::uint16_t port) {
  Address out;
  auto* v4 = reinterpret_cast<sockaddr_in*>(&out.storage);
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&out.storage);
  if (inet_pton(AF_INET, host.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    out.size = sizeof *v4;
    return out;
  }
  if (inet_pton(AF_INET6, host.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    out.size = sizeof *v6;
    return out;
  }
  return std::nullopt;
}

async::Task<base::Result<std::vector<Address>>> resolve(std::string host, std::uint16_t port) {
  if (const auto address = numeric(host, port)) co_return std::vector{*address};
  MAINSTAY_CHECK_CANCELLED();
  const async::Executor executor = co_await asio::this_coro::executor;
  asio::ip::tcp::resolver resolver(executor);
  auto [error, found] =
      co_await resolver.async_resolve(host, std::to_string(port), asio::as_tuple(asio::use_awaitable));
  MAINSTAY_CHECK_CANCELLED();
  if (error) {
    co_return base::fail(base::ErrorCode::kUnavailable, fmt::format("cannot resolve {}: {}", host, error.message()));
  }
  std::vector<Address> out;
  for (const auto& entry : found) {
    Address address;
    const auto endpoint = entry.endpoint();
    address.size = static_cast<socklen_t>(endpoint.size());
    std::memcpy(&address.storage, endpoint.data(), endpoint.size());
    out.push_back(address);
  }
  co_return out;
}

// Connects the descriptor, or closes it.
async::Task<base::Result<int>> connect_one(int fd, Address address, std::string name) {
  const async::Executor executor = co_await asio::this_coro::executor;
  asio::posix::stream_descriptor descriptor(executor, fd);
  const auto failed = [&name](int error) {
    return base::fail(base::ErrorCode::kUnavailable,
                      fmt::format("cannot connect to {}: {}", name, std::generic_category().message(error)));
  };
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address.storage), address.size) != 0) {
    if (errno != EINPROGRESS) co_return failed(errno);
    MAINSTAY_CHECK_CANCELLED();
    auto [waited] =
        co_await descriptor.async_wait(asio::posix::stream_descriptor::wait_write, asio::as_tuple(asio::use_awaitable));
    if (waited) throw async::Cancelled();
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) co_return failed(error);
  }
  co_return descriptor.release();
}

async::Task<base::Result<int>> connect_any(std::string host, std::uint16_t port) {
  MAINSTAY_CO_TRY(const auto addresses, co_await resolve(host, port));
  auto last = base::Result<int>(base::fail(base::ErrorCode::kUnavailable, fmt::format("{} has no address", host)));
  for (const Address& address : addresses) {
    const int fd = ::socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
      co_return base::fail(base::ErrorCode::kExhausted,
                           "cannot make a socket: " + std::generic_category().message(errno));
    const int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    ::setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    last = co_await connect_one(fd, address, fmt::format("{}:{}", host, port));
    if (last) break;
  }
  co_return last;
}

async::Task<base::Result<int>> within(async::Task<base::Result<int>> connecting, std::string name,
                                      std::chrono::nanoseconds limit) {
  auto result = co_await async::with_timeout(std::move(connecting), limit);
  if (result) co_return *std::move(result);
  co_return base::fail(base::ErrorCode::kTimeout,
                       fmt::format("no connection to {} within {} ms", name,
                                   std::chrono::duration_cast<std::chrono::milliseconds>(limit).count()));
}

}  // namespace

async::Task<base::Result<int>> connect_tcp(std::string host, std::uint16_t port, std::chrono::nanoseconds limit) {
  const std::string name = fmt::format("{}:{}", host, port);
  co_return co_await within(connect_any(std::move(host), port), name, limit);
}

async::Task<base::Result<int>> connect_unix(std::string path, std::chrono::nanoseconds limit) {
  Address address;
  auto* local = reinterpret_cast<sockaddr_un*>(&address.storage);
  if (path.size() >= sizeof local->sun_path) {
    co_return base::fail(
        base::ErrorCode::kInvalid,
        fmt::format("the socket path {} is longer than the {} bytes allowed", path, sizeof local->sun_path - 1));
  }
  local->sun_family = AF_UNIX;
  std::memcpy(local->sun_path, path.c_str(), path.size() + 1);
  address.size = sizeof *local;
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0)
    co_return base::fail(base::ErrorCode::kExhausted,
                         "cannot make a socket: " + std::generic_category().message(errno));
  co_return co_await within(connect_one(fd, address, path), path, limit);
}

}  // namespace mainstay::net
