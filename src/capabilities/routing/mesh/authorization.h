// Who may call whom: AuthorizationPolicies compiled into the rules of one pod, and the decision about one connection.
// Pure; the rules travel to the node proxy as JSON.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "client/cache.h"

namespace mainstay::mesh {
namespace json = boost::json;

// A workload's identity in the SPIFFE form (SPIFFE-ID, section 2): spiffe://<domain>/ns/<namespace>/sa/<account>.
std::string spiffe_id(std::string_view domain, std::string_view ns, std::string_view account);
// The namespace of an identity of this form; "" where it is none.
std::string namespace_of(std::string_view id);

// All that is given must hold; of a list, one entry. Empty lists say nothing.
struct Rule {
  std::vector<std::string> principals;  // identities; a * at the end stands for the rest
  std::vector<std::string> namespaces;
  std::vector<std::uint16_t> ports;
  bool operator==(const Rule&) const = default;
};
// A connection that a rule of `deny` matches is refused; otherwise one of `allow` must match.
struct Rules {
  std::vector<Rule> allow, deny;
  bool operator==(const Rules&) const = default;
};

bool allowed(const Rules& rules, std::string_view identity, std::uint16_t port);

// The rules of a pod: the policies of its namespace that select it. Where none of them allows anything by name, the
// identities of `trusted` (the edge) and the namespaces of `same_team` may call.
Rules rules_of(const json::value& pod, const std::vector<client::ObjectPtr>& policies,
               const std::vector<std::string>& same_team, const std::vector<std::string>& trusted);

// What the schema cannot say: principals that nobody could prove in this trust domain, and a DENY of which would deny
// nobody; selectors that cannot be read.
std::vector<base::Cause> policy_faults(const json::value& policy, std::string_view domain);

json::value to_json(const Rules& rules);
Rules rules_from_json(const json::value& value);

}  // namespace mainstay::mesh
