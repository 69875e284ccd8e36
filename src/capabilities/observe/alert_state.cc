#include "capabilities/observe/alert_state.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "base/clock.h"
#include "base/strings.h"
#include "capabilities/observe/alert_config.h"
#include "crypto/digest.h"

namespace mainstay::observe {
namespace {
namespace json = boost::json;
using reconcile::Name;

constexpr std::size_t kMaxText = 2000, kMaxLabels = 64;  // of an Alert object

// "<ns>/<object>/<group>", as rule_file() names groups. A group's own name may hold slashes.
struct GroupName {
  Name object;
  std::string group;
};
GroupName split_group(const std::string& name) {
  const auto first = name.find('/');
  const auto second = first == std::string::npos ? first : name.find('/', first + 1);
  if (second == std::string::npos) return {};
  return {{name.substr(0, first), name.substr(first + 1, second - first - 1)}, name.substr(second + 1)};
}

std::string bounded(std::string_view text) {
  std::string out(text.substr(0, kMaxText));
  // Not within a character of several bytes.
  if (text.size() > kMaxText) {
    while (!out.empty() && (static_cast<unsigned char>(out.back()) & 0xC0) == 0x80) out.pop_back();
    if (!out.empty() && static_cast<unsigned char>(out.back()) >= 0xC0) out.pop_back();
    out += "…";
  }
  return out;
}

json::object texts(const json::value& holder, std::string_view member,
                   std::initializer_list<std::string_view> without) {
  std::map<std::string, std::string> sorted;
  for (const auto& [name, value] : base::get_object(holder, member)) {
    if (!value.is_string() || std::find(without.begin(), without.end(), name) != without.end()) continue;
    if (sorted.size() < kMaxLabels) sorted[name] = bounded(value.as_string());
  }
  json::object out;
  for (const auto& [name, value] : sorted) out[name] = value;
  return out;
}

// Its own, of what makes an alert this one and no other.
std::string alert_name(const std::string& alert, const GroupName& from, const json::object& labels) {
  std::string name = base::lower(alert);
  for (char& c : name) {
    if ((c < 'a' || c > 'z') && (c < '0' || c > '9')) c = '-';
  }
  name = name.substr(0, 60);
  name.erase(0, name.find_first_not_of('-') == std::string::npos ? name.size() : name.find_first_not_of('-'));
  const std::string seed =
      fmt::format("{}\n{}\n{}\n{}\n{}", from.object.ns, from.object.name, from.group, alert, json::serialize(labels));
  return fmt::format("{}{}{}", name, name.empty() ? "" : "-", crypto::sha256_hex(seed).substr(0, 12));
}

// To the second: that is what the engine restores after it was killed.
std::string whole_seconds(const std::string& text) {
  const auto time = base::parse_rfc3339(text);
  return time ? base::rfc3339(std::chrono::floor<std::chrono::seconds>(*time)) : "";
}

json::value alert_object(const json::value& alert, const std::string& expression, const GroupName& from,
                         const std::string& ns) {
  const std::string name = base::get_string(alert, "name");
  json::object labels = texts(alert, "labels", {"alertname", "alertgroup"});
  const std::string object = alert_name(name, from, labels);
  return {
      {"apiVersion", "mainstay.dev/v1"},
      {"kind", "Alert"},
      {"metadata", {{"name", object}, {"namespace", ns}, {"labels", {{"app.kubernetes.io/managed-by", "mainstay"}}}}},
      {"spec",
       {{"alert", name},
        {"rule", {{"namespace", from.object.ns}, {"name", from.object.name}, {"group", from.group}}},
        {"expression", bounded(expression)},
        {"labels", std::move(labels)},
        {"annotations", texts(alert, "annotations", {})}}},
      {"status",
       {{"state", base::get_string(alert, "state")},
        {"activeAt", whole_seconds(base::get_string(alert, "activeAt"))},
        {"value", base::get_string(alert, "value")}}}};
}

bool firing(const json::value& alert) { return base::get_string(alert, "status.state") == "firing"; }

// Firing ones, then those that are older.
void keep_the_first(std::map<Name, json::value>& alerts) {
  std::map<std::string, std::vector<std::tuple<bool, std::string, Name>>> by_namespace;
  for (const auto& [name, alert] : alerts)
    by_namespace[name.ns].emplace_back(!firing(alert), base::get_string(alert, "status.activeAt"), name);
  for (auto& [ns, all] : by_namespace) {
    if (all.size() <= kMaxAlertsOfNamespace) continue;
    std::sort(all.begin(), all.end());
    for (std::size_t i = kMaxAlertsOfNamespace; i < all.size(); ++i) alerts.erase(std::get<2>(all[i]));
  }
}

// The engine's words hold the address it asked, and with it others' things: what the metrics engine said is inside.
std::string evaluation_error(const std::string& text) {
  const auto at = text.find("Response body ");
  if (at == std::string::npos) return text.empty() ? "" : "the metrics engine does not answer";
  const auto said = base::parse_json(std::string_view(text).substr(at + 14));
  const std::string error = said ? base::get_string(*said, "error") : "";
  return error.empty() ? "the metrics engine does not answer" : bounded(error);
}

}  // namespace

AskedRules asked_rules(const json::value& file) {
  AskedRules out;
  for (const auto& group : base::get_array(file, "groups")) {
    const GroupName name = split_group(base::get_string(group, "name"));
    for (const auto& rule : base::get_array(group, "rules")) {
      const std::string alert = base::get_string(rule, "alert");
      out.emplace(name.group, alert.empty() ? base::get_string(rule, "record") : alert, base::get_string(rule, "expr"));
    }
  }
  return out;
}

RuleKey rule_of_alert(const json::value& alert) {
  return {base::get_string(alert, "spec.rule.namespace"), base::get_string(alert, "spec.rule.name"),
          base::get_string(alert, "spec.rule.group"), base::get_string(alert, "spec.alert")};
}

EngineState engine_state(const json::value& answer, const std::map<Name, AskedRules>& asked,
                         const std::function<bool(const std::string&)>& exists) {
  EngineState out;
  std::map<Name, AskedRules> missing = asked;
  for (const auto& [name, rules] : asked) out.figures[name] = {};
  for (const auto& group : base::get_array(answer, "data.groups")) {
    const GroupName from = split_group(base::get_string(group, "name"));
    const auto wanted = missing.find(from.object);
    if (wanted == missing.end()) continue;
    RuleFigures& figures = out.figures[from.object];
    for (const auto& rule : base::get_array(group, "rules")) {
      const std::string name = base::get_string(rule, "name"), query = base::get_string(rule, "query");
      // What is not asked for any more is about to be unloaded.
      const auto found = wanted->second.find({from.group, name, query});
      if (found == wanted->second.end()) continue;
      wanted->second.erase(found);
      if (base::get_string(rule, "lastEvaluation").starts_with("0001-")) {
        out.unsettled.insert({from.object.ns, from.object.name, from.group, name});
        continue;
      }
      if (figures.error.empty()) figures.error = evaluation_error(base::get_string(rule, "lastError"));
      for (const auto& alert : base::get_array(rule, "alerts")) {
        const std::string state = base::get_string(alert, "state");
        if (state != "firing" && state != "pending") continue;
        ++(state == "firing" ? figures.firing : figures.pending);
        std::string ns = base::get_string(alert, "labels.namespace");
        if (ns.empty() || !exists(ns)) ns = from.object.ns;
        json::value object = alert_object(alert, query, from, ns);
        out.alerts[{ns, base::get_string(object, "metadata.name")}] = std::move(object);
      }
    }
  }
  for (const auto& [object, rules] : missing) {
    for (const auto& [group, name, expression] : rules) out.unsettled.insert({object.ns, object.name, group, name});
  }
  keep_the_first(out.alerts);
  return out;
}

std::optional<json::value> updated_alert(const json::value& existing, const json::value& fresh) {
  const std::string state = base::get_string(fresh, "status.state"), since = base::get_string(fresh, "status.activeAt");
  const std::string known_state = base::get_string(existing, "status.state"),
                    known_since = base::get_string(existing, "status.activeAt");
  // Of a rule without `for` an engine that was killed does not know since when: the alert went on all the same.
  const bool goes_on = known_state == "firing" && state == "firing" && !known_since.empty() && known_since < since;
  const std::string active = goes_on ? known_since : since;
  const std::string expression = base::get_string(fresh, "spec.expression");
  if (state == known_state && active == known_since && expression == base::get_string(existing, "spec.expression"))
    return std::nullopt;
  json::value out = existing;
  base::set(out, "spec", *base::find(fresh, "spec"));
  base::set(out, "status", *base::find(fresh, "status"));
  base::set(out, "status.activeAt", json::value(active));
  return out;
}

std::string alert_text(const json::value& alert) {
  const std::string severity = base::get_string(alert, "spec.labels.severity"),
                    summary = base::get_string(alert, "spec.annotations.summary");
  return fmt::format("{}{}, rule {}/{}{}{}", base::get_string(alert, "spec.alert"),
                     severity.empty() ? "" : " (" + severity + ")", base::get_string(alert, "spec.rule.namespace"),
                     base::get_string(alert, "spec.rule.name"), summary.empty() ? "" : ": ", summary);
}

}  // namespace mainstay::observe
