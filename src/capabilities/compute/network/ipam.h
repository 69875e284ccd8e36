// Addresses for pods, out of one IPv4 network. Not thread-safe.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "base/result.h"

namespace mainstay::compute {

struct Network {
  std::uint32_t address = 0;  // host byte order
  unsigned prefix = 0;
  static base::Result<Network> parse(std::string_view cidr);
  std::uint32_t first() const { return address + 1; }
  std::uint32_t last() const { return address | (prefix >= 32 ? 0 : 0xffffffffu >> prefix); }  // the broadcast address
  bool contains(std::uint32_t a) const { return a >= address && a <= last(); }
};
std::string address_text(std::uint32_t address);
std::optional<std::uint32_t> parse_address(std::string_view text);

// Hands out addresses in a circle, so that one that was given back rests as long as possible: somebody may still have
// it in a connection table or a proxy.
class AddressPool {
 public:
  // The network, the first and the last address (network, node, broadcast) are never given out.
  explicit AddressPool(Network network) : network_(network), cursor_(network.first()) {}
  // kExhausted. Addresses that `reserved` says yes to are passed over.
  base::Result<std::uint32_t> take(const std::function<bool(std::uint32_t)>& reserved = nullptr);
  bool claim(std::uint32_t address);  // one that is in use already; false: not of this network, or taken
  void give_back(std::uint32_t address) { used_.erase(address); }
  std::uint32_t cursor() const { return cursor_; }
  void set_cursor(std::uint32_t cursor);
  std::size_t used() const { return used_.size(); }

 private:
  Network network_;
  std::uint32_t cursor_;
  std::set<std::uint32_t> used_;
};

}  // namespace mainstay::compute
