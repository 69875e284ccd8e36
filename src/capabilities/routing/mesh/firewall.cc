#include "capabilities/routing/mesh/firewall.h"

#include <fmt/format.h>

namespace mainstay::mesh {

std::string remove_pod_firewall() { return "table ip mesh\ndelete table ip mesh\n"; }

std::string pod_firewall(const FirewallOptions& o) {
  return remove_pod_firewall() + fmt::format(R"(table ip mesh {{
  chain sent {{
    type nat hook output priority -100; policy accept;
    oifname "lo" return
    meta mark {mark} return
    ip daddr {node} return
    ip daddr {{ {pods}, {services} }} meta l4proto tcp redirect to :{out}
  }}
  chain received {{
    type nat hook prerouting priority dstnat; policy accept;
    iifname "lo" return
    ip saddr {node} return
    ip saddr {pods} meta l4proto tcp redirect to :{in}
  }}
  chain leaving {{
    type filter hook output priority filter; policy accept;
    oifname "lo" accept
    meta mark {mark} accept
    ip daddr {node} accept
    ct direction reply ct state established,related accept
    ip daddr {{ {pods}, {services} }} meta l4proto != icmp reject with icmp type admin-prohibited
  }}
  chain entering {{
    type filter hook input priority filter; policy accept;
    iifname "lo" accept
    ct state established,related accept
    tcp dport {in} accept
    ip saddr {node} accept
    ip saddr {pods} meta l4proto != icmp reject with icmp type admin-prohibited
  }}
}}
)",
                                             fmt::arg("mark", kMark), fmt::arg("node", o.node_address),
                                             fmt::arg("pods", o.pod_cidr), fmt::arg("services", o.service_cidr),
                                             fmt::arg("out", kOutboundPort), fmt::arg("in", kInboundPort));
}

std::string node_firewall(const std::string& table, unsigned user, std::uint16_t port,
                          const std::set<std::string>& meshed) {
  std::string elements;
  for (const std::string& ip : meshed) elements += (elements.empty() ? "" : ", ") + ip;
  if (!elements.empty()) elements = " elements = { " + elements + " }";
  return fmt::format(R"(table ip {0}
delete table ip {0}
table ip {0} {{
  set meshed {{ type ipv4_addr;{1} }}
  chain sent {{
    type nat hook output priority -100; policy accept;
    meta skuid {2} meta l4proto tcp ip daddr @meshed redirect to :{3}
  }}
}}
)",
                     table, elements, user, port);
}

}  // namespace mainstay::mesh
