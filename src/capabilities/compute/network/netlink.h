// The few rtnetlink requests (rtnetlink(7)) that a pod's network needs, each acknowledged. Blocking; a socket belongs
// to the network namespace it was opened in.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "capabilities/compute/fs.h"

namespace mainstay::compute {

class Netlink {
 public:
  static base::Result<Netlink> open();
  // All: kAlreadyExists and kNotFound as the kernel says.
  base::Result<> add_bridge(const std::string& name);
  base::Result<> add_address(const std::string& link, std::uint32_t address, unsigned prefix);  // host byte order
  base::Result<> set_up(const std::string& link);
  // A pair: `name` here and `peer` in the namespace open as `peer_namespace`.
  base::Result<> add_veth(const std::string& name, const std::string& peer, int peer_namespace);
  // One address behind a link that is up; packets of our own for it come from `source`, where that is not 0.
  base::Result<> add_host_route(const std::string& link, std::uint32_t address, std::uint32_t source);
  base::Result<> add_default_route(std::uint32_t gateway);
  base::Result<> remove_link(const std::string& name);

 private:
  explicit Netlink(Fd fd) : fd_(std::move(fd)) {}
  base::Result<> ask(std::string message, std::string_view what);
  Fd fd_;
  std::uint32_t sequence_ = 0;
};

}  // namespace mainstay::compute
