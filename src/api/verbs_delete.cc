// Deleting: at once, or marked with a deletionTimestamp until finalizers and the grace period are over.
#include <fmt/format.h>

#include "api/metadata.h"
#include "api/verbs.h"
#include "base/status.h"

namespace mainstay::api {
namespace json = base::json;
namespace {

constexpr int kAttempts = 10;

void check_preconditions(const Type& type, const store::Record& live, const DeleteOptions& options) {
  const std::string uid = base::get_string(*live.object, "metadata.uid");
  if (!options.uid_precondition.empty() && options.uid_precondition != uid) {
    throw base::conflict(type.qualified(), live.key.name,
                         fmt::format("Precondition failed: UID in precondition: {}, UID in object meta: {}",
                                     options.uid_precondition, uid));
  }
  if (!options.version_precondition.empty() && options.version_precondition != std::to_string(live.revision)) {
    throw base::conflict(
        type.qualified(), live.key.name,
        fmt::format("Precondition failed: ResourceVersion in precondition: {}, ResourceVersion in object meta: {}",
                    options.version_precondition, live.revision));
  }
}

// Seconds a pod is left to end by itself. Other kinds have none.
std::int64_t grace_of(const Type& type, const json::value& object, const DeleteOptions& options) {
  if (!is_pod(type)) return 0;
  const std::string phase = base::get_string(object, "status.phase");
  if (base::get_string(object, "spec.nodeName").empty() || phase == "Succeeded" || phase == "Failed") return 0;
  const std::int64_t grace =
      options.grace_seconds.value_or(base::get_int(object, "spec.terminationGracePeriodSeconds", 30));
  // At most what 32 bits hold, 68 years: the clock reckons in nanoseconds of 64.
  return grace < 0 ? 1 : std::min<std::int64_t>(grace, INT32_MAX);
}

void set_finalizer(json::value& object, std::string_view name, bool present) {
  json::array rest;
  for (const json::value& one : base::get_array(object, "metadata.finalizers")) {
    if (!one.is_string() || one.get_string() != name) rest.push_back(one);
  }
  if (present) rest.emplace_back(json::string(name));
  if (rest.empty()) {
    base::erase(object, "metadata.finalizers");
  } else {
    base::set(object, "metadata.finalizers", std::move(rest));
  }
}

// Foreground and Orphan are promises about dependents: a finalizer keeps the object until the collector has kept them.
void apply_propagation(const std::string& propagation, json::value& object) {
  if (propagation.empty()) return;
  if (propagation != "Background" && propagation != "Foreground" && propagation != "Orphan") {
    throw base::bad_request(fmt::format(
        "propagationPolicy: Unsupported value: \"{}\": supported values: \"Foreground\", \"Background\", \"Orphan\"",
        propagation));
  }
  set_finalizer(object, "foregroundDeletion", propagation == "Foreground");
  set_finalizer(object, "orphan", propagation == "Orphan");
}

// Marks the object as being deleted, or shortens the time it was given before.
void mark(const Type& type, json::value& object, std::int64_t grace, base::SystemTime now) {
  if (!base::find(object, "metadata.deletionTimestamp")) {
    base::set(object, "metadata.deletionTimestamp", json::value(base::rfc3339(now + std::chrono::seconds(grace))));
    base::set(object, "metadata.deletionGracePeriodSeconds", grace);
    if (type.counts_generation)
      base::set(object, "metadata.generation", base::get_int(object, "metadata.generation") + 1);
  } else if (grace < base::get_int(object, "metadata.deletionGracePeriodSeconds")) {
    base::set(object, "metadata.deletionTimestamp", json::value(base::rfc3339(now + std::chrono::seconds(grace))));
    base::set(object, "metadata.deletionGracePeriodSeconds", grace);
  }
  if (is_namespace(type)) base::set(object, "status.phase", "Terminating");
}

void check_deletable(const Type& type, std::string_view name) {
  if (!is_namespace(type)) return;
  for (std::string_view kept : {"default", "kube-system", "kube-public"}) {
    if (name == kept)
      throw base::forbidden(fmt::format("namespaces \"{}\" is forbidden: this namespace may not be deleted", name));
  }
}

}  // namespace

// Null where another write came first.
async::Task<store::RecordPtr> Verbs::remove_once(const Type& type, store::RecordPtr live, const DeleteOptions& options,
                                                 const UserInfo& user, bool* gone) {
  json::value next = *live->object;
  apply_propagation(options.propagation, next);
  const bool deleting = base::find(next, "metadata.deletionTimestamp") != nullptr;
  std::int64_t grace = grace_of(type, next, options);
  // Without a wish of its own, a second delete does not begin the grace period anew.
  if (deleting && !options.grace_seconds)
    grace = std::min(grace, base::get_int(next, "metadata.deletionGracePeriodSeconds"));
  mark(type, next, grace, clock_.now());
  const bool held = is_namespace(type) && !base::get_array(next, "spec.finalizers").empty();
  const bool ends = ready_to_go(next) && !held;
  if (gone) *gone = ends;
  if (options.dry_run || (!ends && next == *live->object)) co_return live;
  auto stored = ends ? co_await store_.remove(live->key, live->revision)
                     : co_await store_.put(live->key, std::move(next), live->revision);
  if (stored) co_return *stored;
  if (stored.error().code == base::ErrorCode::kConflict) co_return nullptr;
  if (stored.error().code == base::ErrorCode::kNotFound) throw base::not_found(type.qualified(), live->key.name);
  throw base::from_error(stored.error());
}

async::Task<store::RecordPtr> Verbs::remove(const Type& type, std::string ns, std::string name, DeleteOptions options,
                                            UserInfo user, bool* gone) {
  check_deletable(type, name);
  for (int attempt = 1; attempt <= kAttempts; ++attempt) {
    store::RecordPtr live = require(type, ns, name);
    check_preconditions(type, *live, options);
    AdmissionRequest request{Operation::kDelete, &type,          "", live->key.ns, name, user, nullptr,
                             live->object.get(), options.dry_run};
    co_await admit(request);
    if (auto record = co_await remove_once(type, live, options, user, gone)) co_return record;
  }
  throw base::conflict(type.qualified(), name,
                       "the object has been modified; please apply your changes to the latest version and try again");
}

async::Task<std::vector<store::RecordPtr>> Verbs::remove_collection(const Type& type, std::string ns, ListOptions which,
                                                                    DeleteOptions options, UserInfo user) {
  ListResult found = list(type, ns, which);
  std::vector<store::RecordPtr> removed;
  for (const store::RecordPtr& record : found.items) {
    try {
      removed.push_back(co_await remove(type, record->key.ns, record->key.name, options, user, nullptr));
    } catch (const base::StatusError& error) {
      if (!error.is_not_found()) throw;  // gone in the meantime: what was wanted
    }
  }
  co_return removed;
}

}  // namespace mainstay::api
