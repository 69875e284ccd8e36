#include "capabilities/routing/mesh/authorization.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/selector.h"

namespace mainstay::mesh {
namespace {

std::vector<std::string> texts(const json::value& object, std::string_view path) {
  std::vector<std::string> out;
  for (const json::value& entry : base::get_array(object, path)) {
    if (entry.is_string()) out.emplace_back(entry.as_string());
  }
  return out;
}

std::vector<std::uint16_t> ports(const json::value& object) {
  std::vector<std::uint16_t> out;
  for (const json::value& entry : base::get_array(object, "ports")) {
    if (entry.is_int64() && entry.as_int64() > 0 && entry.as_int64() < 65536)
      out.push_back(static_cast<std::uint16_t>(entry.as_int64()));
    else if (entry.is_uint64() && entry.as_uint64() > 0 && entry.as_uint64() < 65536)
      out.push_back(static_cast<std::uint16_t>(entry.as_uint64()));
  }
  return out;
}

bool matches(const Rule& rule, std::string_view identity, std::uint16_t port) {
  const auto is = [identity](const std::string& wanted) {
    if (wanted.ends_with('*')) return identity.starts_with(std::string_view(wanted).substr(0, wanted.size() - 1));
    return identity == wanted;
  };
  if (!rule.principals.empty() && std::ranges::none_of(rule.principals, is)) return false;
  if (!rule.namespaces.empty() && std::ranges::find(rule.namespaces, namespace_of(identity)) == rule.namespaces.end())
    return false;
  return rule.ports.empty() || std::ranges::find(rule.ports, port) != rule.ports.end();
}

json::array list(const std::vector<Rule>& rules) {
  json::array out;
  for (const Rule& rule : rules) {
    json::array numbers;
    for (const std::uint16_t port : rule.ports) numbers.emplace_back(port);
    out.push_back(json::object{{"principals", json::value_from(rule.principals)},
                               {"namespaces", json::value_from(rule.namespaces)},
                               {"ports", std::move(numbers)}});
  }
  return out;
}

std::vector<Rule> rules_in(const json::value& value, std::string_view path) {
  std::vector<Rule> out;
  for (const json::value& entry : base::get_array(value, path))
    out.push_back({texts(entry, "principals"), texts(entry, "namespaces"), ports(entry)});
  return out;
}

}  // namespace

std::string spiffe_id(std::string_view domain, std::string_view ns, std::string_view account) {
  return fmt::format("spiffe://{}/ns/{}/sa/{}", domain, ns, account);
}

std::string namespace_of(std::string_view id) {
  const auto at = id.find("/ns/");
  if (!id.starts_with("spiffe://") || at == std::string_view::npos) return "";
  id.remove_prefix(at + 4);
  const auto end = id.find("/sa/");
  return end == std::string_view::npos ? "" : std::string(id.substr(0, end));
}

bool allowed(const Rules& rules, std::string_view identity, std::uint16_t port) {
  const auto hit = [&](const Rule& rule) { return matches(rule, identity, port); };
  return std::ranges::none_of(rules.deny, hit) && std::ranges::any_of(rules.allow, hit);
}

Rules rules_of(const json::value& pod, const std::vector<client::ObjectPtr>& policies,
               const std::vector<std::string>& same_team, const std::vector<std::string>& trusted) {
  Rules out;
  bool named = false;
  for (const client::ObjectPtr& policy : policies) {
    if (base::get_string(*policy, "metadata.namespace") != base::get_string(pod, "metadata.namespace")) continue;
    if (const json::value* wanted = base::find(*policy, "spec.selector"); wanted != nullptr && wanted->is_object()) {
      const auto selector = base::LabelSelector::from_json(*wanted);
      // One that cannot be read is taken to mean everything: refusing is the safe side of an ALLOW.
      if (selector && !selector->matches_object(pod)) continue;
    }
    const bool denies = base::get_string(*policy, "spec.action", "ALLOW") == "DENY";
    named = named || !denies;
    for (Rule& rule : rules_in(*policy, "spec.rules")) (denies ? out.deny : out.allow).push_back(std::move(rule));
  }
  if (named) return out;
  if (!same_team.empty()) out.allow.push_back({{}, same_team, {}});
  if (!trusted.empty()) out.allow.push_back({trusted, {}, {}});
  return out;
}

std::vector<base::Cause> policy_faults(const json::value& policy, std::string_view domain) {
  std::vector<base::Cause> out;
  const std::string own = fmt::format("spiffe://{}/", domain);
  if (const json::value* selector = base::find(policy, "spec.selector")) {
    if (const auto read = base::LabelSelector::from_json(*selector); !read)
      out.push_back({"spec.selector", "FieldValueInvalid", read.error().message});
  }
  const json::array& rules = base::get_array(policy, "spec.rules");
  for (std::size_t i = 0; i < rules.size(); ++i) {
    const std::vector<std::string> principals = texts(rules[i], "principals");
    for (std::size_t j = 0; j < principals.size(); ++j) {
      const std::string& one = principals[j];
      const bool star_within = one.find('*') < one.size() - 1;
      if (one == "*" || (one.starts_with(own) && !star_within)) continue;
      out.push_back(
          {fmt::format("spec.rules[{}].principals[{}]", i, j), "FieldValueInvalid",
           fmt::format("must begin with {} (as {}ns/shop-dev/sa/web); a * may stand at its end, or alone", own, own)});
    }
  }
  return out;
}

json::value to_json(const Rules& rules) {
  return json::object{{"allow", list(rules.allow)}, {"deny", list(rules.deny)}};
}

Rules rules_from_json(const json::value& value) { return {rules_in(value, "allow"), rules_in(value, "deny")}; }

}  // namespace mainstay::mesh
