#include "capabilities/compute/network/nft.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/strings.h"
#include "capabilities/compute/network/ipam.h"
#include "platform/interfaces/resources.h"

namespace mainstay::compute {
namespace {

std::string chain_name(const ServicePort& p) {
  std::string address = p.address;
  std::ranges::replace(address, '.', '-');
  return fmt::format("svc-{}-{}-{}", address, p.protocol, p.port);
}

// "10.96.0.0/16" and an address, both IPv4 and well-formed.
bool within(std::string_view cidr, std::string_view address) {
  const auto slash = cidr.find('/');
  const auto network = parse_address(cidr.substr(0, slash)), one = parse_address(address);
  unsigned bits = 32;
  if (slash != std::string_view::npos) std::from_chars(cidr.data() + slash + 1, cidr.data() + cidr.size(), bits);
  if (!network || !one || bits > 32) return false;
  const std::uint32_t mask = bits == 0 ? 0 : ~std::uint32_t{0} << (32 - bits);
  return (*network & mask) == (*one & mask);
}

std::string element(const ServicePort& p) { return fmt::format("{} . {} . {}", p.address, p.protocol, p.port); }

std::string rule_body(const ServicePort& p, const ServiceRule& r) {
  std::string map;
  for (std::size_t i = 0; i < r.backends.size(); ++i)
    map += fmt::format("{}{} : {} . {}", i == 0 ? "" : ", ", i, r.backends[i].ip, r.backends[i].port);
  // jhash keeps a client on its pod as long as the pods stay the same; numgen deals at random.
  const std::string choice = r.client_affinity ? fmt::format("jhash ip saddr mod {}", r.backends.size())
                                               : fmt::format("numgen random mod {}", r.backends.size());
  return fmt::format("meta l4proto {} dnat ip to {} map {{ {} }}", p.protocol, choice, map);
}

std::string elements_of(const ServiceRules& rules, bool with_backends) {
  std::string out;
  for (const auto& [port, rule] : rules) {
    if (rule.backends.empty() == with_backends) continue;
    out += (out.empty() ? "" : ",\n      ") + element(port);
    if (with_backends) out += " : goto " + chain_name(port);
  }
  return out.empty() ? "" : fmt::format("    elements = {{ {} }}\n", out);
}

std::string node_ports(const TableOptions& o) {
  std::string out;
  for (std::uint16_t port : o.node_ports_for_pods) out += (out.empty() ? "" : ", ") + std::to_string(port);
  // Engines of claims (databases) listen there.
  return out +
         fmt::format("{}{}-{}", out.empty() ? "" : ", ", platform::kFirstResourcePort, platform::kLastResourcePort);
}

std::string base_chains(const TableOptions& o) {
  return fmt::format(R"(  chain prerouting {{
    type nat hook prerouting priority dstnat; policy accept;
    ip daddr . ip protocol . th dport vmap @services
  }}
  chain output {{
    type nat hook output priority -100; policy accept;
    ip daddr . ip protocol . th dport vmap @services
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr {pods} ip daddr != {pods} masquerade
    ct status dnat ip saddr {pods} ip daddr {pods} ct original ip daddr {services} snat to {node}
  }}
  chain forward {{
    type filter hook forward priority filter; policy accept;
    ip daddr . ip protocol . th dport @refused reject with icmp type port-unreachable
    iifname "{links}" ip daddr 169.254.0.0/16 th dport != 53 reject with icmp type admin-prohibited
  }}
  chain outgoing {{
    type filter hook output priority filter; policy accept;
    ip daddr . ip protocol . th dport @refused reject with icmp type port-unreachable
  }}
  chain incoming {{
    type filter hook input priority filter; policy accept;
    iifname != "{links}" return
    ct state established,related accept
    meta l4proto icmp accept
    ip daddr {node} tcp dport {{ {ports} }} accept
    ip daddr {node} meta l4proto {{ tcp, udp }} th dport 53 accept
    reject with icmp type admin-prohibited
  }}
)",
                     fmt::arg("pods", o.pod_cidr), fmt::arg("services", o.service_cidr), fmt::arg("links", o.pod_links),
                     fmt::arg("node", o.node_address), fmt::arg("ports", node_ports(o)));
}

}  // namespace

std::string full_table(const TableOptions& o, const ServiceRules& rules) {
  std::string chains;
  for (const auto& [port, rule] : rules) {
    if (!rule.backends.empty())
      chains += fmt::format("  chain {} {{\n    {}\n  }}\n", chain_name(port), rule_body(port, rule));
  }
  // Chains come before the map that jumps to them. Declared, deleted and made again: one transaction, whatever was
  // there.
  return fmt::format(
      "table ip {0}\ndelete table ip {0}\ntable ip {0} {{\n{1}"
      "  map services {{\n    type ipv4_addr . inet_proto . inet_service : verdict\n{2}  }}\n"
      "  set refused {{\n    type ipv4_addr . inet_proto . inet_service\n{3}  }}\n{4}}}\n",
      o.table, chains, elements_of(rules, true), elements_of(rules, false), base_chains(o));
}

std::string table_change(const TableOptions& o, const ServiceRules& from, const ServiceRules& to) {
  std::string gone, come, chains_gone;
  const auto remove = [&](const ServicePort& port, const ServiceRule& rule) {
    if (rule.backends.empty()) {
      gone += fmt::format("delete element ip {} refused {{ {} }}\n", o.table, element(port));
    } else {
      gone += fmt::format("delete element ip {} services {{ {} }}\n", o.table, element(port));
      chains_gone += fmt::format("delete chain ip {} {}\n", o.table, chain_name(port));
    }
  };
  const auto add = [&](const ServicePort& port, const ServiceRule& rule) {
    if (rule.backends.empty()) {
      come += fmt::format("add element ip {} refused {{ {} }}\n", o.table, element(port));
    } else {
      const std::string chain = chain_name(port);
      come += fmt::format(
          "add chain ip {0} {1}\nadd rule ip {0} {1} {2}\nadd element ip {0} services {{ {3} : goto {1} }}\n", o.table,
          chain, rule_body(port, rule), element(port));
    }
  };
  for (const auto& [port, rule] : from) {
    if (!to.contains(port)) remove(port, rule);
  }
  for (const auto& [port, rule] : to) {
    const auto before = from.find(port);
    if (before == from.end()) {
      add(port, rule);
    } else if (before->second != rule) {
      if (!before->second.backends.empty() && !rule.backends.empty()) {
        come += fmt::format("flush chain ip {0} {1}\nadd rule ip {0} {1} {2}\n", o.table, chain_name(port),
                            rule_body(port, rule));
      } else {
        remove(port, before->second);
        add(port, rule);
      }
    }
  }
  return gone + chains_gone + come;
}

ServiceRules rules_of(const json::value& service, const std::vector<const json::value*>& slices) {
  ServiceRules out;
  if (base::get_string(service, "spec.type") == "ExternalName") return out;
  std::vector<std::string> addresses{base::get_string(service, "spec.clusterIP")};
  for (const json::value& external : base::get_array(service, "spec.externalIPs")) {
    if (external.is_string()) addresses.emplace_back(external.as_string());
  }
  for (const json::value& port : base::get_array(service, "spec.ports")) {
    const std::string protocol = base::lower(base::get_string(port, "protocol", "TCP"));
    if (protocol != "tcp" && protocol != "udp") continue;
    ServiceRule rule;
    rule.client_affinity = base::get_string(service, "spec.sessionAffinity") == "ClientIP";
    for (const json::value* slice : slices) {
      std::int64_t target = 0;
      for (const json::value& offered : base::get_array(*slice, "ports")) {
        if (base::get_string(offered, "name") == base::get_string(port, "name"))
          target = base::get_int(offered, "port");
      }
      for (const json::value& endpoint : base::get_array(*slice, "endpoints")) {
        if (target <= 0 || target > 65535 || !base::get_bool(endpoint, "conditions.ready", true)) continue;
        for (const json::value& address : base::get_array(endpoint, "addresses")) {
          if (address.is_string() && parse_address(address.as_string()))
            rule.backends.push_back({std::string(address.as_string()), static_cast<std::uint16_t>(target)});
        }
      }
    }
    std::ranges::sort(rule.backends);
    rule.backends.erase(std::ranges::unique(rule.backends).begin(), rule.backends.end());
    for (const std::string& address : addresses) {
      const auto number = base::get_int(port, "port");
      if (parse_address(address) && number > 0 && number < 65536)
        out[{address, protocol, static_cast<std::uint16_t>(number)}] = rule;
    }
  }
  return out;
}

void drop_own_addresses(ServiceRules& rules, const std::string& cluster_ip, const TableOptions& options) {
  std::erase_if(rules, [&](const auto& entry) {
    const std::string& address = entry.first.address;
    return address != cluster_ip && (address == options.node_address || within("127.0.0.0/8", address) ||
                                     within(options.pod_cidr, address) || within(options.service_cidr, address));
  });
}

}  // namespace mainstay::compute
