// Where this machine sends packets: ranges that a network of the platform must not take.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "capabilities/cloud/addresses/prefix.h"

namespace mainstay::cloud {

struct HostRoute {
  Prefix destination;
  std::string device;
};
// Text of /proc/net/route and /proc/net/ipv6_route, as proc(5) describes them. Default routes, loopback, link-local and
// multicast are left out. Pure.
std::vector<HostRoute> parse_ipv4_routes(std::string_view text);
std::vector<HostRoute> parse_ipv6_routes(std::string_view text);
// The kernel's present ones; a file that cannot be read counts as empty. A fraction of a millisecond.
std::vector<HostRoute> host_routes();

}  // namespace mainstay::cloud
