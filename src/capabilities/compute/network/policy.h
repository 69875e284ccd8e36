// NetworkPolicies (networking.k8s.io/v1) and the isolation of teams as the contents of one nft table. Pure: from
// objects to what should be in the table, and from two of those to the change between them.
//
// Every pod has an element in two maps, by its address: `egress` is asked for what it sends, `ingress` for what it is
// sent. The verdict is accept, or a jump to the chain of the policies that select it; that chain jumps to one chain a
// policy and ends in a refusal. An address that is in neither map belongs to nobody and is refused.
//
// A pod of a team that no policy selects for ingress takes connections from its own environment's pods and from its
// team's namespace (jobs) alone; one in the team's namespace from all of the team's. What the node itself
// sends to pods (the edge, probes) and what pods send to the node's own address (the API, DNS, engines) passes other
// hooks and is no matter of policies.
#pragma once
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/json.h"
#include "client/cache.h"

namespace mainstay::compute {
namespace json = boost::json;

struct PolicyPod {
  std::string ip;  // IPv4, as address_text() writes it
  client::ObjectPtr object;
};
struct PolicyInput {
  std::vector<PolicyPod> pods;
  std::map<std::string, client::ObjectPtr> namespaces;
  std::vector<client::ObjectPtr> policies;
};
struct PolicyOptions {
  std::string table, pod_links /* "ms1a2b3c-*" */, pod_cidr;
};

struct PolicyTable {
  struct Set {
    std::string type;  // "ipv4_addr"
    std::set<std::string> elements;
    bool operator==(const Set&) const = default;
  };
  std::map<std::string, Set> sets;
  std::map<std::string, std::vector<std::string>> chains;  // rules in order
  std::map<std::string, std::string> ingress, egress;      // address to verdict
  bool operator==(const PolicyTable&) const = default;
};

PolicyTable policy_table(const PolicyInput& input, const PolicyOptions& options);
// The whole table, replacing what is there in one transaction.
std::string full_policy_text(const PolicyOptions& options, const PolicyTable& table);
// The change from one to the other, as one transaction; "" where they are equal.
std::string policy_change(const PolicyOptions& options, const PolicyTable& from, const PolicyTable& to);

}  // namespace mainstay::compute
