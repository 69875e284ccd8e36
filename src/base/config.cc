#include "base/config.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <charconv>
#include <cstring>

#include "base/strings.h"

namespace mainstay::base {
namespace {

bool is_address(const std::string& host) {
  unsigned char raw[sizeof(in6_addr)];
  return inet_pton(AF_INET, host.c_str(), raw) == 1 || inet_pton(AF_INET6, host.c_str(), raw) == 1;
}

}  // namespace

std::string HostPort::to_string() const {
  return host.find(':') == std::string::npos ? fmt::format("{}:{}", host, port) : fmt::format("[{}]:{}", host, port);
}

Result<HostPort> HostPort::parse(std::string_view text) {
  const auto bad = [text](std::string_view why) {
    return fail(ErrorCode::kInvalid,
                fmt::format("address \"{}\": {}; write it as 127.0.0.1:6443 or [::1]:6443", text.substr(0, 80), why));
  };
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos) return bad("the port is missing");
  std::string_view host = text.substr(0, colon);
  const std::string_view digits = text.substr(colon + 1);
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return bad("an IPv6 address needs brackets");
  }
  HostPort out{std::string(host), 0};
  if (out.host.empty()) out.host = "0.0.0.0";
  if (!is_address(out.host)) return bad("the host is not an IP address");
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), out.port);
  if (error != std::errc() || end != digits.data() + digits.size()) return bad("the port is not a number up to 65535");
  return out;
}

std::string Config::node_address() const {
  const std::string network = pod_cidr.substr(0, pod_cidr.find('/'));
  in_addr address{};
  if (inet_pton(AF_INET, network.c_str(), &address) != 1) return network;  // flags are checked before they come here
  address.s_addr = htonl(ntohl(address.s_addr) + 1);
  char text[INET_ADDRSTRLEN];
  return inet_ntop(AF_INET, &address, text, sizeof text);
}

std::string Config::local_url() const {
  if (!listen.any()) return "https://" + listen.to_string();
  return "https://" + HostPort{listen.host == "::" ? "::1" : "127.0.0.1", listen.port}.to_string();
}

std::string Config::pod_server_url() const { return "https://" + HostPort{node_address(), listen.port}.to_string(); }

bool Config::is_own_registry(std::string_view host) const {
  if (host == registry_host()) return true;
  for (const std::string& name : {listen.host, node_address(), std::string("127.0.0.1"), std::string("localhost"),
                                  std::string("::1"), domain, "registry." + domain}) {
    if (host == HostPort{name, listen.port}.to_string()) return true;
  }
  return false;
}

Result<std::string> parse_endpoint_url(std::string_view text) {
  const auto bad = [text](std::string_view why) {
    return fail(ErrorCode::kInvalid,
                fmt::format("URL \"{}\": {}; write it as https://mainstay.example.com:6443", text.substr(0, 120), why));
  };
  constexpr std::string_view kScheme = "https://";
  if (!text.starts_with(kScheme)) return bad("it must begin with https://");
  std::string rest = lower(text.substr(kScheme.size()));
  if (rest.ends_with('/')) rest.pop_back();
  if (rest.find_first_of("/?#@ ") != std::string::npos) return bad("it must be a host and a port, without a path");
  std::string host = rest;
  std::uint16_t port = 443;
  if (const auto colon = rest.rfind(':'); colon != std::string::npos && rest.find(']', colon) == std::string::npos) {
    host = rest.substr(0, colon);
    const auto [end, error] = std::from_chars(rest.data() + colon + 1, rest.data() + rest.size(), port);
    if (error != std::errc() || end != rest.data() + rest.size() || port == 0)
      return bad("the port is not a number from 1 to 65535");
  }
  const bool bracketed = host.starts_with('[') && host.ends_with(']');
  const std::string bare = bracketed ? host.substr(1, host.size() - 2) : host;
  if (bracketed != (bare.find(':') != std::string::npos)) return bad("an IPv6 address needs brackets");
  if (is_address(bare)) {
    if (HostPort{bare, port}.any()) return bad("nobody can reach that address");
  } else if (!check_dns_subdomain(bare)) {
    return bad("the host is neither a DNS name nor an IP address");
  } else if (port == 443 && bare.find('.') == std::string::npos) {
    // "mainstay/shop/web" would be read as an image of Docker Hub's.
    return bad("images' names begin with it, so that it needs a dot or a port");
  }
  return std::string(kScheme) + (port == 443 ? host : fmt::format("{}:{}", host, port));
}

}  // namespace mainstay::base
