// The firewall table as text for nft(8): service addresses rewritten to pod addresses, masquerading, and what pods may
// reach of this machine. Pure.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/json.h"

namespace mainstay::compute {
namespace json = boost::json;

struct Backend {
  std::string ip;
  std::uint16_t port = 0;
  auto operator<=>(const Backend&) const = default;
};
// One port of one service address. Without backends connections are refused at once instead of timing out.
struct ServicePort {
  std::string address, protocol;  // "10.96.0.10", "tcp" or "udp"
  std::uint16_t port = 0;
  auto operator<=>(const ServicePort&) const = default;
};
struct ServiceRule {
  std::vector<Backend> backends;  // sorted
  bool client_affinity = false;   // sessionAffinity: ClientIP
  auto operator<=>(const ServiceRule&) const = default;
};
using ServiceRules = std::map<ServicePort, ServiceRule>;

struct TableOptions {
  std::string table, pod_links /* "ms1a2b3c-*" */, pod_cidr, service_cidr, node_address;
  std::vector<std::uint16_t> node_ports_for_pods;  // TCP ports of the node's address that pods may use: the API's
};

// The whole table, replacing what is there in one transaction.
std::string full_table(const TableOptions& options, const ServiceRules& rules);
// The change from one to the other, "" where they are equal.
std::string table_change(const TableOptions& options, const ServiceRules& from, const ServiceRules& to);

// A Service's ports with the ready endpoints of its slices. Headless services, external names and foreign address
// families give none.
ServiceRules rules_of(const json::value& service, const std::vector<const json::value*>& slices);
// Takes out the external addresses that are the platform's own: loopback, the node's, those of pods and Services.
// Whoever may set them, they are never an outside host's.
void drop_own_addresses(ServiceRules& rules, const std::string& cluster_ip, const TableOptions& options);

}  // namespace mainstay::compute
