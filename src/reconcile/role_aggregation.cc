#include "reconcile/role_aggregation.h"

#include "base/selector.h"
#include "reconcile/controller.h"

namespace mainstay::reconcile {
namespace {
using client::resources::kClusterRoles;

bool aggregates(const json::value& role) { return base::find(role, "aggregationRule") != nullptr; }

bool selects(const json::value& role, const json::value& other) {
  if (base::get_string(role, "metadata.name") == base::get_string(other, "metadata.name")) return false;
  return std::ranges::any_of(base::get_array(role, "aggregationRule.clusterRoleSelectors"),
                             [&](const json::value& term) {
                               auto selector = base::LabelSelector::from_json(term);
                               return selector && !selector->empty() && selector->matches_object(other);
                             });
}

class Aggregator {
 public:
  Aggregator(client::Caches& caches, client::ApiClient client)
      : cache_(caches.of(kClusterRoles)), client_(std::move(client)) {}

  // The aggregating roles that `changed` is, or was, a part of.
  std::vector<Name> concerned(const json::value& changed) const {
    std::vector<Name> names;
    for (const auto& role : roles()) {
      if (aggregates(*role) && selects(*role, changed)) names.push_back({"", base::get_string(*role, "metadata.name")});
    }
    return names;
  }

  async::Task<Outcome> reconcile(Name name) {
    auto cache = cache_.lock();
    auto role = cache ? cache->get("", name.name) : nullptr;
    if (!role || !aggregates(*role)) co_return Outcome::done();
    json::array rules = aggregated_rules(*role, cache->list());
    if (base::get_array(*role, "rules") == rules) co_return Outcome::done();
    json::value patch = json::object{
        {"metadata", json::object{{"resourceVersion", base::get_string(*role, "metadata.resourceVersion")}}},
        {"rules", std::move(rules)}};
    co_await client_.merge_patch(kClusterRoles, "", name.name, std::move(patch));
    co_return Outcome::done();
  }

 private:
  std::vector<client::ObjectPtr> roles() const {
    auto cache = cache_.lock();
    return cache ? cache->list() : std::vector<client::ObjectPtr>();
  }

  // Weak: the cache's handlers hold us.
  std::weak_ptr<client::Cache> cache_;
  client::ApiClient client_;
};

}  // namespace

json::array aggregated_rules(const json::value& role, const std::vector<client::ObjectPtr>& all) {
  json::array rules;
  std::set<std::string> seen;
  for (const auto& other : all) {
    if (!selects(role, *other)) continue;
    for (const auto& rule : base::get_array(*other, "rules")) {
      if (seen.insert(base::to_json(rule)).second) rules.push_back(rule);
    }
  }
  return rules;
}

void start_role_aggregation(async::TaskGroup& group, client::Caches& caches, client::ApiClient client,
                            base::Metrics& metrics) {
  auto aggregator = std::make_shared<Aggregator>(caches, std::move(client));
  ControllerOptions options{"clusterrole-aggregation", kClusterRoles, {}, 1};
  options.also.push_back(
      {kClusterRoles, [aggregator](const json::value& changed) { return aggregator->concerned(changed); }});
  Controller controller(
      group, caches, std::move(options), [aggregator](Name name) { return aggregator->reconcile(std::move(name)); },
      metrics);
  controller.start();  // lives on in the group
}

}  // namespace mainstay::reconcile
