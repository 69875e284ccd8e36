#include "platform/capability_status.h"

#include "base/log.h"

namespace mainstay::platform {
namespace {
namespace json = boost::json;

// The mission's list. What nobody registers is shown as absent, never left out.
struct Expected {
  const char* name;
  const char* title;
  int number;
  const char* part;
  const char* lost_without;
};
constexpr Expected kExpected[] = {
    {"identity", "Identity", 1, "", "Nobody can be let in or kept out; every other capability depends on it."},
    {"source", "General developer tools", 2, "source control", "No place for code, and no push to start from."},
    {"secrets", "General developer tools", 2, "secrets", "Passwords end up in code and in chat."},
    {"artifacts", "General developer tools", 2, "artifact store", "Nothing built can be kept, found or deployed."},
    {"pipelines", "General developer tools", 2, "CI and CD", "Every build and roll-out is done by hand."},
    {"compute", "Dynamic compute", 4, "", "Software is built but runs nowhere."},
    {"routing", "Ingress and traffic routing", 5, "", "Software that cannot be reached provides no value."},
    {"observe", "Observability", 6, "", "A failure is noticed by its users first."},
    {"provenance", "Software security and provenance", 7, "", "Anything at all can be deployed, from anywhere."},
};

json::object spec_of(const CapabilityInfo& info) {
  return {{"title", info.title}, {"number", info.number}, {"part", info.part}, {"lostWithout", info.lost_without}};
}

CapabilityInfo absent(const Expected& e) {
  CapabilityInfo info;
  info.name = e.name;
  info.title = e.title;
  info.number = e.number;
  info.part = e.part;
  info.lost_without = e.lost_without;
  return info;
}

async::Task<Health> ask(const CapabilityInfo& info) {
  if (info.provider.empty()) co_return Health{false, "absent: this version brings no provider"};
  if (!info.health) co_return Health{true, ""};
  try {
    auto answer = co_await async::with_timeout(info.health(), std::chrono::seconds(5));
    if (!answer) co_return Health{false, "its health check did not answer within 5 s"};
    co_return *answer;
  } catch (const async::Cancelled&) {
    throw;
  } catch (const std::exception& e) {
    co_return Health{false, e.what()};
  }
}

}  // namespace

async::Task<> report_capabilities(client::ApiClient client, std::vector<CapabilityInfo> registered,
                                  base::Clock& clock) {
  for (const Expected& e : kExpected) {
    const bool known =
        std::any_of(registered.begin(), registered.end(), [&](const CapabilityInfo& i) { return i.name == e.name; });
    if (!known) registered.push_back(absent(e));
  }
  std::map<std::string, std::string> written;
  for (;;) {
    for (const CapabilityInfo& info : registered) {
      const Health health = co_await ask(info);
      json::value status = {{"provider", info.provider.empty() ? "none" : info.provider},
                            {"engine", info.engine},
                            {"healthy", health.ok},
                            {"message", health.message}};
      const std::string text = json::serialize(status);
      if (written[info.name] == text) continue;
      try {
        const json::value object = {{"apiVersion", "mainstay.dev/v1"},
                                    {"kind", "Capability"},
                                    {"metadata", {{"name", info.name}}},
                                    {"spec", spec_of(info)}};
        co_await client.apply(client::resources::kCapabilities, object);
        status.as_object()["checkedAt"] = base::rfc3339(clock.now());
        co_await client.merge_patch(client::resources::kCapabilities, "", info.name, {{"status", status}}, "status");
        written[info.name] = text;
      } catch (const base::StatusError& e) {
        base::log::warn("platform", "cannot write the status of capability {}: {}", info.name, e.message());
      }
    }
    co_await async::sleep_for(std::chrono::seconds(10));
  }
}

}  // namespace mainstay::platform
