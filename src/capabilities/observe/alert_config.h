// PrometheusRule and AlertReceiver objects as vmalert's and Alertmanager's configuration. Pure.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace mainstay::observe {

// Rules and receivers here are the platform's: rules see all series and keep their labels, receivers get all alerts.
inline constexpr std::string_view kPlatformNamespace = "kube-system";

// Whose rules or receivers these are.
struct Owner {
  std::string ns, team;                 // team "": none
  std::vector<std::string> namespaces;  // that they concern: the team's, in its own namespace; else `ns` alone
  bool platform() const { return ns == kPlatformNamespace; }
  bool whole_team() const { return !team.empty() && ns == team; }
};

// A rule file of vmalert for one PrometheusRule. Each group's queries are confined by a filter that the expressions
// cannot reach, and the labels namespace and team of what they make are set from outside, since alerts are routed by
// them. kInvalid names the field.
base::Result<boost::json::object> rule_file(const boost::json::value& rule, const Owner& owner);

// Finds a Secret's value, decoded; nullopt: not there.
using FindSecret = std::function<std::optional<std::string>(const std::string& name, const std::string& key)>;

// One receiver with its route, both Alertmanager's. The receiver holds secrets.
struct ReceiverConfig {
  boost::json::object receiver, route;
  std::string authority, authority_file;  // PEM to be written to that file below `authorities`, where there is one
};
// `authorities`: the folder of the certificates that mail servers are checked by.
base::Result<ReceiverConfig> receiver_config(const boost::json::value& receiver, const Owner& owner,
                                             const FindSecret& secret, const std::string& authorities);
boost::json::object alertmanager_config(const std::vector<ReceiverConfig>& receivers);

// Whether a team may have alerts sent to this host: not to this machine's loopback, nor to link-local addresses.
bool allowed_destination(std::string_view host);
// The host of an http or https URL; "" where it is none, or has credentials in it.
std::string host_of_url(std::string_view url);

}  // namespace mainstay::observe
