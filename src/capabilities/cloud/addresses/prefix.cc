#include "capabilities/cloud/addresses/prefix.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

namespace mainstay::cloud {
namespace {

// As many one bits at the low end as a prefix of this length leaves to hosts.
Uint128 host_mask(bool v6, unsigned length) {
  const unsigned free = (v6 ? 128u : 32u) - length;
  return free >= 128 ? ~static_cast<Uint128>(0) : (static_cast<Uint128>(1) << free) - 1;
}

}  // namespace

base::Result<Address> Address::parse(std::string_view text) {
  const std::string copy(text.substr(0, 64));
  Address out;
  unsigned char bytes[16];
  if (text.size() <= 15 && ::inet_pton(AF_INET, copy.c_str(), bytes) == 1) {
    for (int i = 0; i < 4; ++i) out.value = out.value << 8 | bytes[i];
    return out;
  }
  if (text.size() <= 45 && ::inet_pton(AF_INET6, copy.c_str(), bytes) == 1) {
    out.v6 = true;
    for (const unsigned char byte : bytes) out.value = out.value << 8 | byte;
    return out;
  }
  return base::fail(base::ErrorCode::kInvalid, fmt::format("\"{}\" is neither an IPv4 nor an IPv6 address", copy));
}

std::string Address::to_string() const {
  unsigned char bytes[16];
  const int count = v6 ? 16 : 4;
  for (int i = 0; i < count; ++i) bytes[i] = static_cast<unsigned char>(value >> 8 * (count - 1 - i));
  char text[INET6_ADDRSTRLEN];
  return ::inet_ntop(v6 ? AF_INET6 : AF_INET, bytes, text, sizeof text);
}

base::Result<Prefix> Prefix::parse(std::string_view text) {
  const auto slash = text.find('/');
  MAINSTAY_TRY(const Address address, Address::parse(text.substr(0, slash)));
  if (slash == std::string_view::npos) return Prefix::of(address);
  const std::string_view digits = text.substr(slash + 1);
  Prefix out{address, 0};
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), out.length);
  if (error != std::errc() || end != digits.data() + digits.size() || digits.size() > 3 || out.length > address.bits())
    return base::fail(base::ErrorCode::kInvalid, fmt::format("\"{}\": the prefix length must be from 0 to {}",
                                                             text.substr(0, 64), address.bits()));
  const Uint128 mask = host_mask(address.v6, out.length);
  if ((address.value & mask) != 0) {
    out.base.value &= ~mask;
    return base::fail(base::ErrorCode::kInvalid, fmt::format("\"{}\" has bits set beyond its length; did you mean {}?",
                                                             text.substr(0, 64), out.to_string()));
  }
  return out;
}

std::string Prefix::to_string() const { return fmt::format("{}/{}", base.to_string(), length); }

Address Prefix::last() const { return {base.v6, base.value | host_mask(base.v6, length)}; }

double Prefix::size() const { return std::ldexp(1.0, static_cast<int>(base.bits() - length)); }

bool Prefix::contains(const Address& address) const {
  return address.v6 == base.v6 && (address.value & ~host_mask(base.v6, length)) == base.value;
}

bool Prefix::contains(const Prefix& other) const { return other.length >= length && contains(other.base); }

std::optional<Prefix> find_free(const Prefix& within, const std::vector<Prefix>& taken, unsigned length,
                                bool skip_ends) {
  const unsigned bits = within.base.bits();
  if (length < within.length || length > bits) return std::nullopt;
  std::vector<Prefix> busy;
  for (const Prefix& one : taken) {
    if (one.overlaps(within)) busy.push_back(one);
  }
  if (skip_ends && !within.base.v6 && within.length < 31 && length == bits) {
    busy.push_back(Prefix::of(within.first()));
    busy.push_back(Prefix::of(within.last()));
  }
  std::ranges::sort(busy, {}, [](const Prefix& p) { return std::pair(p.base, p.length); });
  const Uint128 mask = host_mask(within.base.v6, length);
  Prefix candidate{within.base, length};
  for (const Prefix& one : busy) {
    if (one.last().value < candidate.base.value) continue;
    if (candidate.last().value < one.base.value) return candidate;
    // Past this one, at the next multiple of the block's size; nothing is left where that wraps or leaves `within`.
    const Uint128 next = (one.last().value | mask) + 1;
    if (next <= one.last().value || next > within.last().value) return std::nullopt;
    candidate.base.value = next;
  }
  return within.contains(candidate) ? std::optional(candidate) : std::nullopt;
}

double covered(const Prefix& within, std::vector<Prefix> parts) {
  std::erase_if(parts, [&within](const Prefix& p) { return !p.overlaps(within); });
  std::ranges::sort(parts, {}, [](const Prefix& p) { return std::pair(p.base, p.length); });
  double sum = 0;
  const Prefix* last = nullptr;  // prefixes nest or are apart: whatever overlaps the last one lies within it
  for (const Prefix& part : parts) {
    if (part.contains(within)) return within.size();
    if (last != nullptr && last->contains(part)) continue;
    sum += part.size();
    last = &part;
  }
  return sum;
}

}  // namespace mainstay::cloud
