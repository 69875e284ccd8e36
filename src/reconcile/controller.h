// Controllers: a work queue of object names, level-based reconcilers, back-off, one committed patch a pass.
#pragma once
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "async/runtime.h"
#include "base/clock.h"
#include "base/metrics.h"
#include "client/cache.h"
#include "client/client.h"

namespace mainstay::reconcile {
namespace json = boost::json;

struct Name {
  std::string ns, name;
  auto operator<=>(const Name&) const = default;
};

// What a pass asks for. A thrown exception means: retry with back-off (5 ms doubling to 30 s), counted and logged; a
// reconciler should also have put it into a condition and an Event.
struct Outcome {
  std::optional<std::chrono::nanoseconds> again_after;
  static Outcome done() { return {}; }
  static Outcome after(std::chrono::nanoseconds d) { return {d}; }
};

using Reconcile = std::function<async::Task<Outcome>(Name)>;

struct Watched {
  client::Resource resource;
  // Which primary objects a change concerns; called with the old and the new state where present.
  std::function<std::vector<Name>(const json::value&)> map;
};
// A map for Watched: the controlling owner reference of the given kind.
std::function<std::vector<Name>(const json::value&)> owner_of_kind(std::string kind);

struct ControllerOptions {
  std::string name;  // also the field manager and the metrics' label
  client::Resource primary;
  std::vector<Watched> also;
  int workers = 4;  // passes at once; never two for the same name
};

class Controller {
 public:
  Controller(async::TaskGroup& group, client::Caches& caches, ControllerOptions options, Reconcile reconcile,
             base::Metrics& metrics);
  ~Controller();
  void start();             // spawns in the group; waits for the caches first
  void enqueue(Name name);  // from anywhere on the loop
  std::size_t depth() const;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

// One pass's view of an object: change `object()` freely, then commit() writes metadata+spec or status, whichever
// differs (never both in one request: status first, then the rest), as merge patches guarded by resourceVersion.
class Pass {
 public:
  Pass(client::ApiClient client, client::Resource resource, client::ObjectPtr original);
  json::value& object() { return object_; }
  const json::value& original() const { return *original_; }
  bool deleting() const;
  bool has_finalizer(std::string_view name) const;
  void add_finalizer(std::string_view name);
  void remove_finalizer(std::string_view name);
  // status.conditions[type]; lastTransitionTime changes only with the status.
  void set_condition(std::string type, bool status, std::string reason, std::string message, const base::Clock& clock);
  async::Task<> commit();  // nothing differs: nothing is sent

 private:
  client::ApiClient client_;
  client::Resource resource_;
  client::ObjectPtr original_;
  json::value object_;
};

void set_condition(json::value& object, std::string_view type, std::string_view status, std::string_view reason,
                   std::string_view message, base::SystemTime now);
const json::value* find_condition(const json::value& object, std::string_view type);
bool condition_true(const json::value& object, std::string_view type);
json::object owner_reference(const json::value& owner, bool controller = true);
bool is_controlled_by(const json::value& object, std::string_view owner_uid);

// Holds a coordination.k8s.io Lease; `lead` runs while it is held, is cancelled when it is lost.
async::Task<> run_as_leader(client::ApiClient client, std::string ns, std::string lease, std::string identity,
                            const base::Clock& clock, std::function<async::Task<>()> lead);

}  // namespace mainstay::reconcile
