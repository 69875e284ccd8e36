#include <fmt/core.h>

#include <unordered_map>

#include "api/auth.h"
#include "api/rbac.h"
#include "base/selector.h"
#include "base/status.h"

namespace mainstay::api {
namespace {
namespace json = base::json;

constexpr std::string_view kGroup = "rbac.authorization.k8s.io";
constexpr std::array<std::string_view, 4> kResources{"clusterroles", "roles", "clusterrolebindings", "rolebindings"};

struct TextHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
};
template <class V>
using ByText = std::unordered_map<std::string, V, TextHash, std::equal_to<>>;

struct CompiledRole {
  std::vector<Rule> rules;
  std::vector<json::value> raw;
};
using RolePtr = std::shared_ptr<const CompiledRole>;

// What one binding gives to one subject.
struct Grant {
  RolePtr role;
  std::shared_ptr<const std::string> reason;
};

struct Grants {
  ByText<std::vector<Grant>> users, groups;

  // Calls `f` with each grant of the user until it gives true.
  template <class F>
  bool any_of(const UserInfo& user, F f) const {
    if (auto it = users.find(user.name); it != users.end()) {
      for (const auto& grant : it->second) {
        if (f(grant)) return true;
      }
    }
    for (const auto& group : user.groups) {
      auto it = groups.find(group);
      if (it == groups.end()) continue;
      for (const auto& grant : it->second) {
        if (f(grant)) return true;
      }
    }
    return false;
  }
};

std::string metadata(const json::value& object, std::string_view field) {
  return base::get_string(object, "metadata." + std::string(field));
}

// ClusterRoles by name, aggregation followed.
class ClusterRoles {
 public:
  explicit ClusterRoles(const std::vector<store::RecordPtr>& records) {
    for (const auto& record : records) records_.emplace(record->key.name, record);
  }

  RolePtr get(const std::string& name) {
    if (auto known = compiled_.find(name); known != compiled_.end()) return known->second;
    auto found = records_.find(name);
    if (found == records_.end()) return nullptr;
    CompiledRole role;
    std::set<std::string> seen;
    gather(*found->second, role, seen);
    return compiled_[name] = std::make_shared<const CompiledRole>(std::move(role));
  }

 private:
  void gather(const store::Record& record, CompiledRole& into, std::set<std::string>& seen) {
    if (!seen.insert(record.key.name).second) return;
    // What an aggregating role shows as its own rules is written from the others, and may lag behind them.
    if (!base::find(*record.object, "aggregationRule")) {
      for (const auto& rule : base::get_array(*record.object, "rules")) {
        into.rules.push_back(Rule::parse(rule));
        into.raw.push_back(rule);
      }
    }
    for (const auto& term : base::get_array(*record.object, "aggregationRule.clusterRoleSelectors")) {
      auto selector = base::LabelSelector::from_json(term);
      if (!selector || selector->empty()) continue;  // an empty one would gather every role there is
      for (const auto& [name, other] : records_) {
        if (selector->matches_object(*other->object)) gather(*other, into, seen);
      }
    }
  }

  std::map<std::string, store::RecordPtr> records_;
  std::map<std::string, RolePtr> compiled_;
};

void add_binding(Grants& grants, const json::value& binding, const RolePtr& role, std::string_view kind) {
  auto reason = std::make_shared<const std::string>(
      fmt::format("RBAC: allowed by {} \"{}\" of {} \"{}\"", kind, metadata(binding, "name"),
                  base::get_string(binding, "roleRef.kind"), base::get_string(binding, "roleRef.name")));
  for (const auto& subject : base::get_array(binding, "subjects")) {
    const std::string subject_kind = base::get_string(subject, "kind");
    std::string name = base::get_string(subject, "name");
    if (subject_kind == "Group") {
      grants.groups[name].push_back({role, reason});
    } else if (subject_kind == "User") {
      grants.users[name].push_back({role, reason});
    } else if (subject_kind == "ServiceAccount") {
      const std::string ns = base::get_string(subject, "namespace", metadata(binding, "namespace"));
      grants.users["system:serviceaccount:" + ns + ":" + name].push_back({role, reason});
    }
  }
}

// The most texts that are compared to find what is granted in what is held: some tenths of a second.
constexpr double kMaxCompared = 50e6;

double combinations(const Rule& rule) {
  const auto size = [](const std::vector<std::string>& list) { return static_cast<double>(list.size()); };
  return size(rule.verbs) *
         (size(rule.urls) + size(rule.groups) * size(rule.resources) * std::max(size(rule.names), 1.0));
}

double texts_of(const std::vector<Rule>& rules) {
  double sum = 0;
  for (const Rule& rule : rules)
    sum += static_cast<double>(rule.verbs.size() + rule.groups.size() + rule.resources.size() + rule.names.size() +
                               rule.urls.size());
  return sum;
}

bool is_master(const UserInfo& user) { return user.in_group(kMastersGroup); }

json::value everything(bool resources) {
  if (resources)
    return json::object{{"verbs", json::array{"*"}}, {"apiGroups", json::array{"*"}}, {"resources", json::array{"*"}}};
  return json::object{{"verbs", json::array{"*"}}, {"nonResourceURLs", json::array{"*"}}};
}

}  // namespace

struct Authorizer::Compiled {
  std::int64_t checked_revision = -1;  // of the store, when this was last known to be current
  std::array<std::int64_t, kResources.size()> changed{};
  Grants cluster;
  ByText<Grants> namespaced;
  std::unique_ptr<ClusterRoles> cluster_roles;
  std::map<std::pair<std::string, std::string>, RolePtr> roles;

  RolePtr find_role(const json::value& role_ref, const std::string& ns) const {
    const std::string name = base::get_string(role_ref, "name");
    if (base::get_string(role_ref, "kind") == "ClusterRole") return cluster_roles->get(name);
    auto found = roles.find({ns, name});
    return found == roles.end() ? nullptr : found->second;
  }
};

Authorizer::Authorizer(const store::Backend& store) : store_(store) {}
Authorizer::~Authorizer() = default;

const Authorizer::Compiled& Authorizer::compiled() const {
  const std::int64_t now = store_.revision();
  if (compiled_ && compiled_->checked_revision == now) return *compiled_;
  std::array<std::int64_t, kResources.size()> changed;
  for (std::size_t i = 0; i < kResources.size(); ++i) changed[i] = store_.changed_at(kGroup, kResources[i]);
  if (compiled_ && compiled_->changed == changed) {
    compiled_->checked_revision = now;
    return *compiled_;
  }
  auto fresh = std::make_unique<Compiled>();
  fresh->checked_revision = now;
  fresh->changed = changed;
  fresh->cluster_roles = std::make_unique<ClusterRoles>(store_.list(kGroup, "clusterroles"));
  for (const auto& record : store_.list(kGroup, "roles")) {
    CompiledRole role;
    for (const auto& rule : base::get_array(*record->object, "rules")) {
      role.rules.push_back(Rule::parse(rule));
      role.raw.push_back(rule);
    }
    fresh->roles[{record->key.ns, record->key.name}] = std::make_shared<const CompiledRole>(std::move(role));
  }
  for (std::string_view resource : {"clusterrolebindings", "rolebindings"}) {
    const bool of_cluster = resource == "clusterrolebindings";
    for (const auto& record : store_.list(kGroup, resource)) {
      const json::value* role_ref = base::find(*record->object, "roleRef");
      RolePtr role = role_ref ? fresh->find_role(*role_ref, record->key.ns) : nullptr;
      if (!role) continue;  // a binding to a missing role gives nothing, until the role comes
      Grants& grants = of_cluster ? fresh->cluster : fresh->namespaced[record->key.ns];
      add_binding(grants, *record->object, role, of_cluster ? "ClusterRoleBinding" : "RoleBinding");
    }
  }
  compiled_ = std::move(fresh);
  return *compiled_;
}

Decision Authorizer::authorize(const UserInfo& user, const Attributes& what) const {
  if (is_master(user)) return {true, "group system:masters may do everything"};
  const Compiled& rbac = compiled();
  Decision decision;
  auto decide = [&](const Grant& grant) {
    for (const auto& rule : grant.role->rules) {
      if (!rule.allows(what)) continue;
      decision = {true, *grant.reason};
      return true;
    }
    return false;
  };
  if (rbac.cluster.any_of(user, decide)) return decision;
  if (!what.ns.empty() && !what.resource.empty()) {
    auto grants = rbac.namespaced.find(what.ns);
    if (grants != rbac.namespaced.end() && grants->second.any_of(user, decide)) return decision;
  }
  decision.reason = "no RBAC rule allows it";
  return decision;
}

std::vector<json::value> Authorizer::rules_for(const UserInfo& user, std::string_view ns) const {
  if (is_master(user)) return {everything(true), everything(false)};
  const Compiled& rbac = compiled();
  std::vector<json::value> rules;
  std::set<const CompiledRole*> seen;
  auto take = [&](const Grant& grant) {
    if (seen.insert(grant.role.get()).second) rules.insert(rules.end(), grant.role->raw.begin(), grant.role->raw.end());
    return false;
  };
  rbac.cluster.any_of(user, take);
  if (auto grants = rbac.namespaced.find(ns); !ns.empty() && grants != rbac.namespaced.end())
    grants->second.any_of(user, take);
  return rules;
}

void Authorizer::check_no_escalation(const UserInfo& user, std::string_view ns, const json::array& rules) const {
  if (is_master(user)) return;
  std::vector<Rule> held;
  for (const auto& rule : rules_for(user, ns)) held.push_back(Rule::parse(rule));
  std::vector<Rule> wanted;
  double sought = 0;
  for (const auto& rule : rules) sought += combinations(wanted.emplace_back(Rule::parse(rule)));
  if (sought * texts_of(held) > kMaxCompared)
    throw base::forbidden(
        fmt::format("the rules name too many things for a comparison with what user \"{}\" holds: name fewer, or take "
                    "several roles",
                    user.name));
  std::string missing;
  for (const Rule& rule : wanted) {
    if (!covers(held, rule)) missing += "\n" + rule.to_string();
  }
  if (missing.empty()) return;
  throw base::forbidden(
      fmt::format("user \"{}\" is attempting to grant RBAC permissions not currently held:{}", user.name, missing));
}

void Authorizer::check_may_bind(const UserInfo& user, std::string_view ns, const json::value& role_ref) const {
  const bool of_cluster = base::get_string(role_ref, "kind") == "ClusterRole";
  Attributes bind{"bind", std::string(kGroup), of_cluster ? "clusterroles" : "roles",
                  "",     std::string(ns),     base::get_string(role_ref, "name"),
                  ""};
  if (authorize(user, bind).allowed) return;
  RolePtr role = compiled().find_role(role_ref, std::string(ns));
  if (!role) {
    throw base::forbidden(
        fmt::format("{} \"{}\" is not there, and user \"{}\" may not bind a role before it is (RBAC verb \"bind\")",
                    base::get_string(role_ref, "kind"), bind.name, user.name));
  }
  json::array rules;
  for (const auto& rule : role->raw) rules.push_back(rule);
  check_no_escalation(user, ns, rules);
}

}  // namespace mainstay::api
