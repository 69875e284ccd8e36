// What the rule engine says of its rules, as Alert objects and as the figures of each PrometheusRule. Pure.
#pragma once
#include <functional>
#include <map>
#include <set>
#include <string>
#include <tuple>

#include "base/json.h"
#include "client/client.h"
#include "reconcile/controller.h"

namespace mainstay::observe {

inline const client::Resource kAlerts{"mainstay.dev", "v1", "alerts", true, "Alert"};
inline constexpr std::size_t kMaxAlertsOfNamespace = 200;

// What a PrometheusRule has the engine evaluate: group, name and expression of each of its rules.
using AskedRules = std::multiset<std::tuple<std::string, std::string, std::string>>;
AskedRules asked_rules(const boost::json::value& file);  // of what rule_file() made

// A rule: the object's namespace and name, the group, the alert.
using RuleKey = std::tuple<std::string, std::string, std::string, std::string>;
RuleKey rule_of_alert(const boost::json::value& alert);  // an Alert object's

struct RuleFigures {
  int firing = 0, pending = 0;
  std::string error;  // why one of its rules cannot be evaluated
  bool operator==(const RuleFigures&) const = default;
};

struct EngineState {
  std::map<reconcile::Name, RuleFigures> figures;        // of each PrometheusRule that was asked for
  std::map<reconcile::Name, boost::json::value> alerts;  // Alert objects by namespace and name
  // Rules that the engine has not looked at since it loaded them: nothing is known of their alerts.
  std::set<RuleKey> unsettled;
};

// `answer` is vmalert's to /api/v1/rules. An alert belongs to the namespace of its label where there is such a one,
// else to its rule's. Of a namespace's alerts the first kMaxAlertsOfNamespace are kept: firing ones, then older ones.
EngineState engine_state(const boost::json::value& answer, const std::map<reconcile::Name, AskedRules>& asked,
                         const std::function<bool(const std::string& ns)>& exists);

// The object to write in place of `existing`; nullopt where it says the same. The value and what is made of it change
// with each evaluation: they are written when the state changes, not with them.
std::optional<boost::json::value> updated_alert(const boost::json::value& existing, const boost::json::value& fresh);

// "HighErrorRate (critical), rule kube-system/mainstay-workloads: More than 5 % …"
std::string alert_text(const boost::json::value& alert);

}  // namespace mainstay::observe
