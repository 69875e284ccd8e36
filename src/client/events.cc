// Events: what happened to an object, told to its users. One object per distinct message, counted.
#include "async/runtime.h"
#include "base/clock.h"
#include "base/log.h"
#include "client/client.h"
#include "crypto/digest.h"

namespace mainstay::client {
namespace {

constexpr std::size_t kMaxMessage = 1024;  // as upstream

// The same happening gets the same name, so that a repeat finds its Event.
std::string event_name(const json::value& about, std::string_view type, std::string_view reason,
                       std::string_view message, std::string_view manager) {
  std::string name = base::get_string(about, "metadata.name");
  for (char& c : name) {
    const bool good = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
    if (!good) c = '-';
  }
  if (name.size() > 200) name.resize(200);
  std::string seed = base::get_string(about, "metadata.uid") + "\n";
  for (std::string_view part : {type, reason, message, manager}) {
    seed += part;
    seed += '\n';
  }
  return name + "." + crypto::sha256_hex(seed).substr(0, 16);
}

json::value new_event(const json::value& about, std::string_view ns, std::string_view name, std::string_view type,
                      std::string_view reason, std::string_view message, std::string_view manager) {
  const std::string now = base::rfc3339(base::real_clock().now());
  json::object involved;
  for (std::string_view field : {"apiVersion", "kind"}) involved[field] = base::get_string(about, field);
  for (std::string_view field : {"namespace", "name", "uid", "resourceVersion"}) {
    std::string value = base::get_string(about, "metadata." + std::string(field));
    if (!value.empty()) involved[field] = value;
  }
  return json::object{{"apiVersion", "v1"},
                      {"kind", "Event"},
                      {"metadata", json::object{{"name", name}, {"namespace", ns}}},
                      {"involvedObject", std::move(involved)},
                      {"type", type},
                      {"reason", reason},
                      {"message", message},
                      {"source", json::object{{"component", manager}}},
                      {"reportingComponent", manager},
                      {"reportingInstance", ""},
                      {"firstTimestamp", now},
                      {"lastTimestamp", now},
                      {"count", 1}};
}

async::Task<> count_again(const ApiClient& client, std::string ns, std::string name) {
  auto existing = co_await client.find(resources::kEvents, ns, name);
  if (!existing) co_return;  // expired this very moment
  json::value patch = json::object{{"count", base::get_int(*existing, "count", 1) + 1},
                                   {"lastTimestamp", base::rfc3339(base::real_clock().now())}};
  co_await client.merge_patch(resources::kEvents, ns, name, std::move(patch));
}

}  // namespace

async::Task<> ApiClient::event(json::value about, std::string type, std::string reason, std::string message) const {
  const ApiClient self = *this;
  if (message.size() > kMaxMessage) message.resize(kMaxMessage);
  std::string ns = base::get_string(about, "metadata.namespace");
  if (ns.empty()) ns = "default";
  const std::string name = event_name(about, type, reason, message, manager_);
  try {
    bool exists = false;
    try {
      co_await self.create(resources::kEvents, ns, new_event(about, ns, name, type, reason, message, self.manager_));
    } catch (const base::StatusError& e) {
      if (!e.is_already_exists()) throw;
      exists = true;
    }
    if (exists) co_await count_again(self, ns, name);
  } catch (const base::StatusError& e) {
    base::log::debug("events", "cannot record {} on {} {}/{}: {}", reason, base::get_string(about, "kind"), ns,
                     base::get_string(about, "metadata.name"), e.message());
  }
}

}  // namespace mainstay::client
