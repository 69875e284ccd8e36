#include "capabilities/compute/network/ipam.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <charconv>

namespace mainstay::compute {

std::string address_text(std::uint32_t address) {
  return fmt::format("{}.{}.{}.{}", address >> 24, address >> 16 & 255, address >> 8 & 255, address & 255);
}

std::optional<std::uint32_t> parse_address(std::string_view text) {
  in_addr out{};
  if (text.size() > 15 || ::inet_pton(AF_INET, std::string(text).c_str(), &out) != 1) return std::nullopt;
  return ntohl(out.s_addr);
}

base::Result<Network> Network::parse(std::string_view cidr) {
  const auto bad = [cidr](std::string_view why) {
    return base::fail(base::ErrorCode::kInvalid,
                      fmt::format("network \"{}\": {}; write it as 10.244.0.0/16", cidr.substr(0, 40), why));
  };
  const auto slash = cidr.find('/');
  if (slash == std::string_view::npos) return bad("the prefix length is missing");
  const auto address = parse_address(cidr.substr(0, slash));
  if (!address) return bad("not an IPv4 address");
  Network out;
  const std::string_view digits = cidr.substr(slash + 1);
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), out.prefix);
  if (error != std::errc() || end != digits.data() + digits.size() || out.prefix < 8 || out.prefix > 29)
    return bad("the prefix length is not between 8 and 29");
  out.address = *address & ~(0xffffffffu >> out.prefix);
  return out;
}

void AddressPool::set_cursor(std::uint32_t cursor) {
  if (network_.contains(cursor)) cursor_ = cursor;
}

bool AddressPool::claim(std::uint32_t address) {
  if (address <= network_.first() || address >= network_.last()) return false;
  return used_.insert(address).second;
}

base::Result<std::uint32_t> AddressPool::take(const std::function<bool(std::uint32_t)>& reserved) {
  const std::uint32_t size = network_.last() - network_.first() - 1;
  for (std::uint32_t tried = 0; tried < size; ++tried) {
    cursor_ = cursor_ + 1 >= network_.last() ? network_.first() + 1 : cursor_ + 1;
    if (reserved && reserved(cursor_)) continue;
    if (used_.insert(cursor_).second) return cursor_;
  }
  return base::fail(
      base::ErrorCode::kExhausted,
      fmt::format("all {} pod addresses of {}/{} are in use or reserved; start Mainstay with a larger --pod-cidr", size,
                  address_text(network_.address), network_.prefix));
}

}  // namespace mainstay::compute
