#include "capabilities/cloud/addresses/host_routes.h"

#include <bit>
#include <charconv>
#include <fstream>
#include <sstream>

#include "base/strings.h"

namespace mainstay::cloud {
namespace {

constexpr std::size_t kMaxRoutes = 20'000;

std::vector<std::string_view> fields_of(std::string_view line) {
  std::vector<std::string_view> out;
  for (std::size_t at = 0; at < line.size();) {
    const auto start = line.find_first_not_of(" \t", at);
    if (start == std::string_view::npos) break;
    const auto end = std::min(line.find_first_of(" \t", start), line.size());
    out.push_back(line.substr(start, end - start));
    at = end;
  }
  return out;
}

template <class Number>
bool read_hex(std::string_view text, Number& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out, 16);
  return error == std::errc() && end == text.data() + text.size();
}

std::string slurp(const char* path) {
  std::ifstream in(path);
  std::stringstream out;
  out << in.rdbuf();
  return std::move(out).str();
}

}  // namespace

std::vector<HostRoute> parse_ipv4_routes(std::string_view text) {
  std::vector<HostRoute> out;
  for (const std::string_view line : base::split(text, '\n')) {
    const auto fields = fields_of(line);
    std::uint32_t destination = 0, mask = 0;
    if (fields.size() < 8 || !read_hex(fields[1], destination) || !read_hex(fields[7], mask)) continue;
    // The kernel prints them in network order, as numbers of this machine.
    destination = __builtin_bswap32(destination);
    const unsigned length = static_cast<unsigned>(std::popcount(mask));
    if (length == 0 || destination >> 24 == 127 || fields[0] == "lo") continue;
    out.push_back({Prefix{Address{false, destination}, length}, std::string(fields[0])});
    if (out.size() >= kMaxRoutes) break;
  }
  return out;
}

std::vector<HostRoute> parse_ipv6_routes(std::string_view text) {
  std::vector<HostRoute> out;
  for (const std::string_view line : base::split(text, '\n')) {
    const auto fields = fields_of(line);
    if (fields.size() < 10 || fields[0].size() != 32 || fields[9] == "lo") continue;
    std::uint64_t high = 0, low = 0;
    unsigned length = 0;
    if (!read_hex(fields[0].substr(0, 16), high) || !read_hex(fields[0].substr(16), low) ||
        !read_hex(fields[1], length))
      continue;
    const bool link_local = high >> 54 == 0x3fa, multicast = high >> 56 == 0xff;
    if (length == 0 || length > 128 || link_local || multicast) continue;
    out.push_back({Prefix{Address{true, static_cast<Uint128>(high) << 64 | low}, length}, std::string(fields[9])});
    if (out.size() >= kMaxRoutes) break;
  }
  return out;
}

std::vector<HostRoute> host_routes() {
  std::vector<HostRoute> out = parse_ipv4_routes(slurp("/proc/net/route"));
  for (HostRoute& route : parse_ipv6_routes(slurp("/proc/net/ipv6_route"))) out.push_back(std::move(route));
  return out;
}

}  // namespace mainstay::cloud
