#include "reconcile/event_expiry.h"

#include "base/log.h"
#include "base/status.h"

namespace mainstay::reconcile {
namespace {
namespace json = boost::json;

constexpr std::chrono::hours kLife{1};
constexpr std::size_t kMaxEvents = 20'000;
constexpr std::chrono::seconds kSweep{60};

base::SystemTime last_seen(const json::value& event) {
  base::SystemTime latest{};
  for (std::string_view field :
       {"series.lastObservedTime", "lastTimestamp", "eventTime", "metadata.creationTimestamp"}) {
    if (auto time = base::parse_rfc3339(base::get_string(event, field))) latest = std::max(latest, *time);
  }
  return latest;
}

async::Task<> sweep_for_ever(std::shared_ptr<client::Cache> events, client::ApiClient client) {
  co_await events->synced();
  while (true) {
    for (const auto& event : expired_events(events->list(), base::real_clock().now(), kMaxEvents)) {
      try {
        co_await client.remove(events->resource(), base::get_string(*event, "metadata.namespace"),
                               base::get_string(*event, "metadata.name"));
      } catch (const base::StatusError& e) {
        base::log::debug("events", "cannot delete an expired event: {}", e.message());
      }
    }
    co_await async::sleep_for(kSweep);
  }
}

}  // namespace

std::vector<client::ObjectPtr> expired_events(std::vector<client::ObjectPtr> events, base::SystemTime now,
                                              std::size_t max) {
  std::vector<std::pair<base::SystemTime, client::ObjectPtr>> by_age;
  by_age.reserve(events.size());
  for (auto& event : events) by_age.emplace_back(last_seen(*event), std::move(event));
  std::ranges::sort(by_age, {}, [](const auto& entry) { return entry.first; });
  std::vector<client::ObjectPtr> expired;
  for (std::size_t i = 0; i < by_age.size(); ++i) {
    const bool too_many = by_age.size() - i > max;
    if (!too_many && by_age[i].first + kLife > now) break;
    expired.push_back(std::move(by_age[i].second));
  }
  return expired;
}

void start_event_expiry(async::TaskGroup& group, client::Caches& caches, const api::TypeRegistry& types,
                        client::ApiClient client) {
  for (const std::string group_name : {"", "events.k8s.io"}) {
    const client::Resource resource{group_name, "v1", "events", true, "Event"};
    if (!types.find(resource.group, resource.version, resource.plural)) continue;
    group.spawn("event expiry", sweep_for_ever(caches.of(resource), client));
  }
}

}  // namespace mainstay::reconcile
