// IPv4 and IPv6 addresses and prefixes (RFC 4632, RFC 4291), and finding room among them. Pure.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace mainstay::cloud {

using Uint128 = unsigned __int128;

struct Address {
  bool v6 = false;
  Uint128 value = 0;  // host order; IPv4 in the low 32 bits
  static base::Result<Address> parse(std::string_view text);
  std::string to_string() const;  // IPv6 as RFC 5952 writes it
  unsigned bits() const { return v6 ? 128 : 32; }
  auto operator<=>(const Address&) const = default;
};

struct Prefix {
  Address base;
  unsigned length = 0;
  // "10.1.0.0/16"; a single address is a prefix of its full length. kInvalid: not one, or bits beyond the length are
  // set (then the message has the prefix that was probably meant).
  static base::Result<Prefix> parse(std::string_view text);
  static Prefix of(const Address& address) { return {address, address.bits()}; }
  std::string to_string() const;
  Address first() const { return base; }
  Address last() const;
  double size() const;  // addresses; exact up to 2^53
  bool contains(const Address& address) const;
  bool contains(const Prefix& other) const;
  bool overlaps(const Prefix& other) const { return contains(other) || other.contains(*this); }
  bool operator==(const Prefix&) const = default;
};

// The lowest block of `length` inside `within` that overlaps none of `taken`; nullopt: there is none. `skip_ends`
// leaves out the first and the last address of an IPv4 `within` (network and broadcast) where single ones are asked
// for.
std::optional<Prefix> find_free(const Prefix& within, const std::vector<Prefix>& taken, unsigned length,
                                bool skip_ends = false);
// Addresses of `within` that at least one of `parts` covers. Parts may overlap each other.
double covered(const Prefix& within, std::vector<Prefix> parts);

}  // namespace mainstay::cloud
