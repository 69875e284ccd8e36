#include "net/listen.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "net/port_holder.h"

namespace mainstay::net {
namespace {

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

}  // namespace

base::Result<SocketAddress> socket_address(const base::HostPort& at) {
  SocketAddress out;
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

base::HostPort local_address(int fd) {
  sockaddr_storage bound{};
  socklen_t size = sizeof bound;
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&bound), &size);
  return host_port_of(bound);
}

base::Result<int> open_bound(const base::HostPort& at, int type, AddressMust must) {
  MAINSTAY_TRY(const SocketAddress address, socket_address(at));
  const int fd = ::socket(address.storage.ss_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return cannot_listen(at, errno);
  const int on = 1, off = 0;
  // Of UDP it would let two programs share the port, each with a part of the datagrams.
  if (type == SOCK_STREAM) ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (must == AddressMust::kMayComeLater) ::setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &on, sizeof on);
  if (address.storage.ss_family == AF_INET6 && at.host == "::")
    ::setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  if (::bind(fd, reinterpret_cast<const sockaddr*>(&address.storage), address.size) != 0 ||
      (type == SOCK_STREAM && ::listen(fd, 4096) != 0)) {
    const int error = errno;
    ::close(fd);
    return cannot_listen(at, error);
  }
  return fd;
}

}  // namespace mainstay::net
