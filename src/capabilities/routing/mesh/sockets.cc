#include "capabilities/routing/mesh/sockets.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/netfilter_ipv4.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <system_error>

#include "base/log.h"
#include "capabilities/routing/mesh/firewall.h"

namespace mainstay::mesh {
namespace {

std::unexpected<base::Error> failed(std::string_view what) {
  return base::fail(base::ErrorCode::kUnavailable, fmt::format("{}: {}", what, std::generic_category().message(errno)));
}

int own_namespace() {
  static const int fd = ::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
  return fd;
}

std::string text_of(const sockaddr_in& address) {
  char text[INET_ADDRSTRLEN] = "";
  ::inet_ntop(AF_INET, &address.sin_addr, text, sizeof text);
  return text;
}

}  // namespace

base::Result<Namespace> Namespace::open(const std::string& path) {
  Namespace out;
  if (path.empty()) return out;
  out.fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (out.fd_ < 0) return failed("network namespace " + path);
  return out;
}

Namespace::~Namespace() {
  if (fd_ >= 0) ::close(fd_);
}

base::Result<int> Namespace::socket() const {
  const int home = own_namespace();
  if (fd_ >= 0 && ::setns(fd_, CLONE_NEWNET) != 0) return failed("entering a pod's network");
  const int out = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const int error = errno;
  if (fd_ >= 0 && ::setns(home, CLONE_NEWNET) != 0) {
    // All further sockets would be made in a pod's network.
    base::log::error("mesh", "cannot come back from a pod's network: {}", std::generic_category().message(errno));
    std::abort();
  }
  errno = error;
  if (out < 0) return failed("a socket");
  const std::uint32_t mark = kMark;
  if (::setsockopt(out, SOL_SOCKET, SO_MARK, &mark, sizeof mark) != 0) {
    ::close(out);
    return failed("marking a socket");
  }
  return out;
}

base::Result<int> Namespace::listen(const std::string& address, std::uint16_t port) const {
  MAINSTAY_TRY(const int fd, socket());
  const int on = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  // A successor listens beside the proxy that it takes over from. Within a pod's network namespace nobody else gains by
  // it: what comes in is TLS, whose keys are not there.
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_port = htons(port);
  if (::inet_pton(AF_INET, address.c_str(), &at.sin_addr) == 1 &&
      ::bind(fd, reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0 && ::listen(fd, 1024) == 0)
    return fd;
  const auto error = failed(fmt::format("listening on {}:{}", address, port));
  ::close(fd);
  return error;
}

std::optional<Destination> original_destination(int fd) {
  sockaddr_in to{}, own{};
  socklen_t size = sizeof to, own_size = sizeof own;
  if (::getsockopt(fd, SOL_IP, SO_ORIGINAL_DST, &to, &size) != 0) return std::nullopt;
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&own), &own_size);
  if (to.sin_addr.s_addr == own.sin_addr.s_addr && to.sin_port == own.sin_port) return std::nullopt;
  return Destination{text_of(to), ntohs(to.sin_port)};
}

std::uint16_t local_port(int fd) {
  sockaddr_in own{};
  socklen_t size = sizeof own;
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&own), &size);
  return ntohs(own.sin_port);
}

std::string peer_address(int fd) {
  sockaddr_in peer{};
  socklen_t size = sizeof peer;
  ::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &size);
  return text_of(peer);
}

}  // namespace mainstay::mesh
