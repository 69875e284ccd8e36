#include "capabilities/routing/dns/records.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/strings.h"
#include "capabilities/routing/dns/zones.h"

namespace mainstay::routing::dns {
namespace {

std::string name_of(const json::value& object) { return base::get_string(object, "metadata.name"); }
std::string ns_of(const json::value& object) { return base::get_string(object, "metadata.namespace"); }

void append16(std::string& out, std::int64_t v) {
  out.push_back(static_cast<char>(v >> 8));
  out.push_back(static_cast<char>(v));
}

class Builder {
 public:
  // Names that are no names (too long together) are left out.
  void add(std::string_view name, Type type, std::string data, std::uint32_t ttl = kServiceTtl) {
    if (auto wire = wire_name(name)) out_.push_back({*std::move(wire), type, ttl, std::move(data)});
  }
  void add_name(std::string_view name, Type type, std::string_view target, std::uint32_t ttl = kServiceTtl) {
    if (auto wire = wire_name(target)) add(name, type, *std::move(wire), ttl);
  }
  bool add_address(std::string_view name, const std::string& address, std::uint32_t ttl = kServiceTtl) {
    char raw[16];
    if (::inet_pton(AF_INET, address.c_str(), raw) == 1) {
      add(name, kA, std::string(raw, 4), ttl);
    } else if (::inet_pton(AF_INET6, address.c_str(), raw) == 1) {
      add(name, kAaaa, std::string(raw, 16), ttl);
    } else {
      return false;
    }
    return true;
  }
  // RFC 2782. Weight and priority are equal for all: the client chooses.
  void add_service(std::string_view name, std::int64_t port, std::string_view target) {
    auto wire = wire_name(target);
    if (!wire) return;
    std::string data;
    append16(data, 0);
    append16(data, 100);
    append16(data, port);
    add(name, kSrv, data + *wire);
  }
  void add_reverse(const std::string& address, std::string_view target) {
    in_addr raw{};
    if (::inet_pton(AF_INET, address.c_str(), &raw) != 1) return;
    const std::uint32_t a = ntohl(raw.s_addr);
    add_name(fmt::format("{}.{}.{}.{}.in-addr.arpa", a & 255, a >> 8 & 255, a >> 16 & 255, a >> 24), kPtr, target);
  }
  std::vector<Record> take() { return std::move(out_); }

 private:
  std::vector<Record> out_;
};

std::string dashed(std::string address) {
  std::ranges::replace_if(address, [](char c) { return c == '.' || c == ':'; }, '-');
  return address;
}

std::string protocol_label(const json::value& port) { return base::lower(base::get_string(port, "protocol", "TCP")); }

void add_cluster_address(Builder& out, const json::value& service, const std::string& host) {
  std::vector<std::string> addresses{base::get_string(service, "spec.clusterIP")};
  for (const json::value& more : base::get_array(service, "spec.clusterIPs")) {
    if (more.is_string() && more.as_string() != addresses.front()) addresses.emplace_back(more.as_string());
  }
  bool any = false;
  for (const std::string& address : addresses) {
    if (!out.add_address(host, address)) continue;
    out.add_reverse(address, host);
    any = true;
  }
  if (!any) return;  // not given an address yet
  for (const json::value& port : base::get_array(service, "spec.ports")) {
    const std::string name = base::get_string(port, "name");
    if (!name.empty())
      out.add_service(fmt::format("_{}._{}.{}", name, protocol_label(port), host), base::get_int(port, "port"), host);
  }
}

void add_endpoints(Builder& out, const json::value& service, const json::value& slice, const std::string& host) {
  const bool unready_too = base::get_bool(service, "spec.publishNotReadyAddresses");
  for (const json::value& endpoint : base::get_array(slice, "endpoints")) {
    if (!unready_too && !base::get_bool(endpoint, "conditions.ready", true)) continue;
    for (const json::value& item : base::get_array(endpoint, "addresses")) {
      if (!item.is_string()) continue;
      const std::string address(item.as_string());
      if (!out.add_address(host, address)) continue;
      std::string label = base::get_string(endpoint, "hostname");
      if (!base::check_dns_label(label)) label = dashed(address);
      const std::string own = label + "." + host;
      out.add_address(own, address);
      out.add_reverse(address, own);
      for (const json::value& port : base::get_array(slice, "ports")) {
        const std::string name = base::get_string(port, "name");
        if (!name.empty())
          out.add_service(fmt::format("_{}._{}.{}", name, protocol_label(port), host), base::get_int(port, "port"),
                          own);
      }
    }
  }
}

}  // namespace

std::vector<Record> service_records(const json::value& service, const std::vector<client::ObjectPtr>& slices) {
  Builder out;
  const std::string host = fmt::format("{}.{}.svc.{}", name_of(service), ns_of(service), kClusterDomain);
  if (base::get_string(service, "spec.type") == "ExternalName") {
    out.add_name(host, kCname, base::get_string(service, "spec.externalName"));
  } else if (base::get_string(service, "spec.clusterIP") == "None") {
    for (const client::ObjectPtr& slice : slices) add_endpoints(out, service, *slice, host);
  } else {
    add_cluster_address(out, service, host);
  }
  return out.take();
}

std::vector<Record> pod_records(const json::value& pod) {
  Builder out;
  const std::string phase = base::get_string(pod, "status.phase"), address = base::get_string(pod, "status.podIP");
  if (address.empty() || phase == "Succeeded" || phase == "Failed" || base::get_bool(pod, "spec.hostNetwork"))
    return {};
  const std::string host = fmt::format("{}.{}.pod.{}", dashed(address), ns_of(pod), kClusterDomain);
  if (out.add_address(host, address)) out.add_reverse(address, host);
  return out.take();
}

std::vector<Record> host_records(std::string_view host, std::string_view address) {
  Builder out;
  out.add_address(host, std::string(address), kHostTtl);
  return out.take();
}

std::vector<std::string> reverse_zones(std::string_view cidr) {
  const auto slash = cidr.find('/');
  in_addr raw{};
  unsigned prefix = 32;
  if (slash == std::string_view::npos || ::inet_pton(AF_INET, std::string(cidr.substr(0, slash)).c_str(), &raw) != 1)
    return {};
  std::from_chars(cidr.data() + slash + 1, cidr.data() + cidr.size(), prefix);
  if (prefix < 1 || prefix > 32) return {};
  const unsigned octets = std::min(3u, (prefix + 7) / 8), step = 32 - 8 * octets;
  const std::uint32_t first = ntohl(raw.s_addr);
  std::vector<std::string> out;
  for (std::uint32_t i = 0; i < (prefix < 8 * octets ? 1u << (8 * octets - prefix) : 1u); ++i) {
    const std::uint32_t a = first + (i << step);
    std::string zone = "in-addr.arpa";
    for (unsigned octet = 0; octet < octets; ++octet) zone = fmt::format("{}.{}", a >> (24 - 8 * octet) & 255, zone);
    out.push_back(std::move(zone));
  }
  return out;
}

}  // namespace mainstay::routing::dns
