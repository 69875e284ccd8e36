// The mesh's rules for nft(8) as text: within a meshed pod's network namespace, and on the node for the edge. Pure.
#pragma once
#include <cstdint>
#include <set>
#include <string>

namespace mainstay::mesh {

// Where the node proxy listens within each meshed pod's network namespace.
inline constexpr std::uint16_t kOutboundPort = 15001, kInboundPort = 15006;
// On the proxy's own sockets, so that what it sends is not sent to it again.
inline constexpr std::uint32_t kMark = 0x6d657368;

struct FirewallOptions {
  std::string pod_cidr, service_cidr, node_address;
};

// Everything the pod sends to pods and services goes to the proxy, everything that comes from them too. The node itself
// (probes) reaches the pod directly. What is no TCP is refused between pods: it would go in plain text.
std::string pod_firewall(const FirewallOptions& options);
std::string remove_pod_firewall();
// What the edge (processes of `user`) sends to meshed pods goes to the proxy on the node.
std::string node_firewall(const std::string& table, unsigned user, std::uint16_t port,
                          const std::set<std::string>& meshed);

}  // namespace mainstay::mesh
