// Sockets bound to an address of this machine, for the servers of this folder. Not for other layers.
#pragma once
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/config.h"
#include "base/result.h"

namespace mainstay::net {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
};
base::Result<SocketAddress> socket_address(const base::HostPort& at);  // kInvalid: not an IP address
base::HostPort host_port_of(const sockaddr_storage& storage);
base::HostPort local_address(int fd);

enum class AddressMust { kExist, kMayComeLater };  // the latter: of an interface that is made after the socket
// A non-blocking socket, bound, and listening where `type` is SOCK_STREAM; the caller's. The error names the address,
// and for a taken port the process that holds it where that can be seen.
base::Result<int> open_bound(const base::HostPort& at, int type, AddressMust must = AddressMust::kExist);

}  // namespace mainstay::net
