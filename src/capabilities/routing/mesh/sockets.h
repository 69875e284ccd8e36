// Sockets in other network namespaces. A socket belongs for life to the namespace it was made in, so the calling thread
// visits it for a moment; nothing suspends meanwhile. Linux: setns(2), SO_ORIGINAL_DST (netfilter).
#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"

namespace mainstay::mesh {

class Namespace {
 public:
  // "" is the namespace this program was started in.
  static base::Result<Namespace> open(const std::string& path);
  Namespace() = default;
  Namespace(Namespace&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Namespace& operator=(Namespace&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Namespace();
  // A TCP socket that does not block and carries the mesh's mark. The caller's.
  base::Result<int> socket() const;
  base::Result<int> listen(const std::string& address, std::uint16_t port) const;  // port 0: any

 private:
  int fd_ = -1;
};

struct Destination {
  std::string address;
  std::uint16_t port = 0;
};
// Where the connection was going before it was redirected to us; nullopt where it was not.
std::optional<Destination> original_destination(int fd);
std::uint16_t local_port(int fd);
std::string peer_address(int fd);

}  // namespace mainstay::mesh
