// Create, update, patch and apply. All changes of an object that exists go through settle() and commit().
#include <fmt/format.h>

#include "api/metadata.h"
#include "api/rules.h"
#include "api/scale.h"
#include "api/verbs.h"
#include "base/ids.h"
#include "base/status.h"

namespace mainstay::api {
namespace json = base::json;
namespace {

constexpr int kAttempts = 5;                  // of a change that does not name a resourceVersion and loses a race
constexpr int kNameAttempts = 8;              // of generateName
constexpr std::size_t kMaxBase = 58;          // of generateName: five characters are added, 63 is a label's bound
constexpr std::size_t kMaxObject = 8u << 20;  // bytes; one body has 3 MiB, but patches add up, as do apply's managers
constexpr std::string_view kModified =
    "the object has been modified; please apply your changes to the latest version and try again";

store::RecordPtr unsaved(const store::Key& key, std::int64_t revision, json::value object) {
  auto record = std::make_shared<store::Record>();
  record->key = key;
  record->revision = revision;
  record->bytes = std::make_shared<const std::string>(json::serialize(object));
  record->object = std::make_shared<const json::value>(std::move(object));
  return record;
}

// Of the object as JSON, near enough.
std::size_t size_of(const json::value& value) {
  std::size_t size = 2;
  if (const json::object* object = value.if_object()) {
    for (const auto& member : *object) size += member.key().size() + 4 + size_of(member.value());
  } else if (const json::array* items = value.if_array()) {
    for (const json::value& item : *items) size += 1 + size_of(item);
  } else if (const json::string* text = value.if_string()) {
    size += text->size();
  }
  return size;
}

// One that is too large all the same may still become smaller, or lose a finalizer.
void check_size(const Type& type, std::string_view name, const json::value* live, const json::value& next) {
  const std::size_t size = size_of(next);
  if (size <= kMaxObject || (live && size <= size_of(*live))) return;
  throw base::too_large(
      fmt::format("{} \"{}\" would have {} bytes, more than the {} that an object may have: keep less in it, or apply "
                  "it under fewer field managers",
                  type.qualified(), name, size, kMaxObject));
}

// Generates metadata.name where only generateName is given. True where it did.
bool name_it(json::value& object) {
  json::object& metadata = object.at("metadata").as_object();
  const json::value* name = metadata.if_contains("name");
  if (name && name->is_string() && !name->get_string().empty()) return false;
  const json::value* prefix = metadata.if_contains("generateName");
  if (!prefix || !prefix->is_string() || prefix->get_string().empty()) return false;
  metadata["name"] = std::string(std::string_view(prefix->get_string()).substr(0, kMaxBase)) + base::random_suffix();
  return true;
}

void keep_member(const json::value& live, json::value& next, std::string_view key) {
  if (const json::value* old = live.get_object().if_contains(key)) {
    next.get_object()[key] = *old;
  } else if (const auto at = next.get_object().find(key); at != next.get_object().end()) {
    next.get_object().stable_erase(at);
  }
}

// Everything but metadata and status is desired state.
bool spec_changed(const json::value& before, const json::value& after) {
  const auto differs = [](const json::object& a, const json::object& b) {
    return std::ranges::any_of(a, [&](const auto& member) {
      if (member.key() == "metadata" || member.key() == "status") return false;
      const json::value* other = b.if_contains(member.key());
      return !other || *other != member.value();
    });
  };
  return differs(before.get_object(), after.get_object()) || differs(after.get_object(), before.get_object());
}

// What the subresource written through may change of the object; all else stays as it is in `live`.
void restrict_to(const Type& type, std::string_view subresource, const json::value& live, json::value& next) {
  if (subresource.empty()) {
    if (type.has_status()) keep_member(live, next, "status");
    if (is_namespace(type)) keep_member(live, next, "spec");
    return;
  }
  json::value merged = live;
  const std::string_view part = subresource == "finalize" ? "spec" : subresource == "scale" ? "spec" : "status";
  keep_member(next, merged, part);
  if (part == "status" && next.at("metadata").as_object().contains("managedFields")) {
    merged.at("metadata").as_object()["managedFields"] = next.at("metadata").at("managedFields");
  }
  next = std::move(merged);
}

// Says 409 where the client's idea of the object's version or identity is not what is stored.
void check_preconditions(const Type& type, const store::Record& live, const json::value& object) {
  const std::string version = base::get_string(object, "metadata.resourceVersion");
  if (!version.empty() && version != std::to_string(live.revision)) {
    throw base::conflict(type.qualified(), live.key.name, std::string(kModified));
  }
  const std::string uid = base::get_string(object, "metadata.uid");
  const std::string actual = base::get_string(*live.object, "metadata.uid");
  if (!uid.empty() && uid != actual) {
    throw base::conflict(
        type.qualified(), live.key.name,
        fmt::format("Precondition failed: UID in precondition: {}, UID in object meta: {}", uid, actual));
  }
}

void check_name(const json::value& object, std::string_view name) {
  const std::string given = base::get_string(object, "metadata.name");
  if (!given.empty() && given != name) {
    throw base::bad_request(
        fmt::format("the name of the object ({}) does not match the name on the URL ({})", given, name));
  }
}

void apply_patch(const Type& type, PatchType kind, json::value& target, const json::value& patch) {
  switch (kind) {
    case PatchType::kJson:
      if (auto done = apply_json_patch(target, patch); !done) {
        if (done.error().code == base::ErrorCode::kConflict) {  // a failed test
          throw base::StatusError(
              422, "Invalid",
              "the server rejected our request due to an error in our request: " + done.error().message);
        }
        throw base::bad_request(done.error().message);
      }
      return;
    case PatchType::kMerge:
      if (!patch.is_object()) throw base::bad_request("a merge patch must be a JSON object");
      base::apply_merge_patch(target, patch);
      return;
    case PatchType::kStrategic:
      if (auto done = apply_strategic_patch(*type.schema, target, patch); !done)
        throw base::bad_request(done.error().message);
      return;
    case PatchType::kApply:
      return;  // has a path of its own
  }
}

// What an applied configuration may hold; the server keeps the rest.
void check_applied(const Type& type, json::value& applied, std::string_view name, const WriteOptions& options) {
  if (!applied.is_object()) throw base::bad_request("the applied configuration must be an object");
  for (const char* key : {"apiVersion", "kind"}) {
    if (!applied.get_object().contains(key))
      throw base::bad_request(fmt::format("an applied configuration must set {}", key));
  }
  if (options.field_manager.empty()) throw base::bad_request("fieldManager is required for apply patch");
  check_kind(type, applied);
  check_name(applied, name);
  if (const json::value* managed = base::find(applied, "metadata.managedFields"); managed && !managed->is_null()) {
    if (!managed->is_array() || !managed->get_array().empty())
      throw base::bad_request("metadata.managedFields must be nil");
  }
  applied.at("metadata").as_object()["name"] = name;
  // Through the object itself the status is not applied, and through status nothing else is.
  if (options.subresource.empty() && type.has_status()) base::erase(applied, "status");
  if (options.subresource == "status") {
    json::object only;
    for (const char* key : {"apiVersion", "kind", "status"}) {
      if (const json::value* value = applied.get_object().if_contains(key)) only[key] = *value;
    }
    only["metadata"] = json::object{{"name", name}};
    applied = std::move(only);
  }
}

}  // namespace

async::Task<store::RecordPtr> Verbs::put_new(const Type& type, store::Key key, json::value object, bool generated) {
  for (int attempt = 1;; ++attempt) {
    json::value copy = generated ? object : json::value();
    auto stored = co_await store_.put(key, generated ? std::move(copy) : std::move(object), std::nullopt);
    if (stored) co_return *stored;
    if (stored.error().code != base::ErrorCode::kAlreadyExists) throw base::from_error(stored.error());
    if (!generated || attempt == kNameAttempts) throw base::already_exists(type.qualified(), key.name);
    base::erase(object, "metadata.name");
    name_it(object);
    key.name = base::get_string(object, "metadata.name");
  }
}

async::Task<store::RecordPtr> Verbs::create(const Type& type, std::string ns, json::value object, UserInfo user,
                                            WriteOptions options) {
  check_kind(type, object);
  drop_unknown(type, object, options);
  settle_namespace(type, ns, object);
  if (!base::get_string(object, "metadata.resourceVersion").empty()) {
    throw base::bad_request("resourceVersion should not be set on objects to be created");
  }
  base::erase(object, "metadata.managedFields");
  co_return co_await create_prepared(type, std::move(ns), std::move(object), std::move(user), std::move(options),
                                     false);
}

async::Task<store::RecordPtr> Verbs::create_prepared(const Type& type, std::string ns, json::value object,
                                                     UserInfo user, WriteOptions options, bool applied) {
  const bool generated = name_it(object);
  const std::string name = base::get_string(object, "metadata.name");
  check_namespace(type, ns, name);
  stamp_new(type, object, clock_.now());
  if (type.has_status()) base::erase(object, "status");
  apply_defaults(*type.schema, object);
  apply_kind_defaults(type, nullptr, object);
  store::Key key = key_of(type, ns, name);
  // Before admission, so that plugins need not expect what cannot be stored anyway.
  if (!generated && !name.empty() && store_.get(key)) throw base::already_exists(type.qualified(), name);
  AdmissionRequest request{Operation::kCreate, &type, "", key.ns, name, user, &object, nullptr, options.dry_run};
  co_await admit(request);
  apply_defaults(*type.schema, object);
  check_depth(object);
  std::vector<Violation> violations = validate(*type.schema, object);
  validate_metadata(type, nullptr, object, violations);
  if (violations.empty()) validate_kind(type, nullptr, object, violations);
  refuse_violations(type, name, std::move(violations));
  check_namespace(type, ns, name);  // again: admission may have taken its time
  if (!applied)
    track_managed_fields(*type.schema, nullptr, object, options.field_manager, "", type.api_version(), clock_.now());
  check_size(type, name, nullptr, object);
  if (options.dry_run) {
    if (store_.get(key)) throw base::already_exists(type.qualified(), name);
    co_return unsaved(key, 0, std::move(object));
  }
  co_return co_await put_new(type, std::move(key), std::move(object), generated);
}

async::Task<> Verbs::settle(Change& change) const {
  const Type& type = *change.type;
  const json::value& live = *change.live->object;
  json::value& next = change.next;
  carry_over(live, next);
  restrict_to(type, change.options.subresource, live, next);
  // Who manages what is the server's to say. (A client may still clear it, which starts tracking anew.)
  const json::value* given = base::find(next, "metadata.managedFields");
  const bool cleared =
      given && given->is_array() &&
      (given->get_array().empty() || (given->get_array().size() == 1 && given->get_array()[0] == json::object()));
  if (cleared) {
    base::erase(next, "metadata.managedFields");
  } else if (change.apply_manager.empty()) {
    keep_member(live.at("metadata"), next.at("metadata"), "managedFields");
  }
  apply_defaults(*type.schema, next);
  apply_kind_defaults(type, &live, next);
  AdmissionRequest request{Operation::kUpdate,
                           &type,
                           change.options.subresource,
                           change.live->key.ns,
                           change.live->key.name,
                           change.user,
                           &next,
                           &live,
                           change.options.dry_run};
  co_await admit(request);
  apply_defaults(*type.schema, next);
  check_depth(next);
  std::vector<Violation> violations = validate(*type.schema, next);
  validate_metadata(type, &live, next, violations);
  validate_immutable(*type.schema, live, next, violations);
  if (violations.empty()) validate_kind(type, &live, next, violations);
  refuse_violations(type, change.live->key.name, std::move(violations));
  if (type.counts_generation && change.options.subresource != "status" && spec_changed(live, next)) {
    base::set(next, "metadata.generation", base::get_int(live, "metadata.generation") + 1);
  }
  if (change.apply_manager.empty() && !cleared) {
    track_managed_fields(*type.schema, &live, next, change.options.field_manager, change.options.subresource,
                         type.api_version(), clock_.now());
  }
}

async::Task<store::RecordPtr> Verbs::commit(Change change) {
  co_await settle(change);
  if (change.next == *change.live->object) co_return change.live;
  const bool ends = ready_to_go(change.next) &&
                    !(is_namespace(*change.type) && !base::get_array(change.next, "spec.finalizers").empty());
  if (!ends) check_size(*change.type, change.live->key.name, change.live->object.get(), change.next);
  if (change.options.dry_run) co_return unsaved(change.live->key, change.live->revision, std::move(change.next));
  auto stored = ends ? co_await store_.remove(change.live->key, change.live->revision)
                     : co_await store_.put(change.live->key, std::move(change.next), change.live->revision);
  if (stored) co_return *stored;
  if (stored.error().code == base::ErrorCode::kConflict) co_return nullptr;
  if (stored.error().code == base::ErrorCode::kNotFound)
    throw base::not_found(change.type->qualified(), change.live->key.name);
  throw base::from_error(stored.error());
}

async::Task<store::RecordPtr> Verbs::update(const Type& type, std::string ns, std::string name, json::value object,
                                            UserInfo user, WriteOptions options) {
  const bool scale = options.subresource == "scale";
  if (!scale) {
    check_kind(type, object);
    drop_unknown(type, object, options);
    settle_namespace(type, ns, object);
  }
  check_name(object, name);
  const bool guarded = !base::get_string(object, "metadata.resourceVersion").empty();
  for (int attempt = 1; attempt <= kAttempts; ++attempt) {
    store::RecordPtr live = require(type, ns, name);
    check_preconditions(type, *live, object);
    Change change{&type, live, scale ? *live->object : object, user, options, ""};
    if (scale) apply_scale(type, object, change.next);
    if (auto record = co_await commit(std::move(change))) co_return record;
    if (guarded) break;
  }
  throw base::conflict(type.qualified(), name, std::string(kModified));
}

async::Task<store::RecordPtr> Verbs::patch(const Type& type, std::string ns, std::string name, PatchType kind,
                                           json::value patch, UserInfo user, WriteOptions options, bool* created) {
  if (created) *created = false;
  if (kind == PatchType::kApply) {
    co_return co_await apply(type, std::move(ns), std::move(name), std::move(patch), std::move(user),
                             std::move(options), created);
  }
  const bool scale = options.subresource == "scale";
  for (int attempt = 1; attempt <= kAttempts; ++attempt) {
    store::RecordPtr live = require(type, ns, name);
    json::value next = scale ? scale_of(type, *live->object) : *live->object;
    apply_patch(type, kind, next, patch);
    if (!scale) {
      check_kind(type, next);
      drop_unknown(type, next, options);
      settle_namespace(type, ns, next);
    }
    check_name(next, name);
    check_preconditions(type, *live, next);
    Change change{&type, live, json::value(), user, options, ""};
    if (scale) {
      change.next = *live->object;
      apply_scale(type, next, change.next);
    } else {
      change.next = std::move(next);
    }
    if (auto record = co_await commit(std::move(change))) co_return record;
  }
  throw base::conflict(type.qualified(), name, std::string(kModified));
}

async::Task<store::RecordPtr> Verbs::apply(const Type& type, std::string ns, std::string name, json::value applied,
                                           UserInfo user, WriteOptions options, bool* created) {
  if (options.subresource == "scale")
    throw base::bad_request("server-side apply of the scale subresource is not supported; use a merge patch");
  check_applied(type, applied, name, options);
  drop_unknown(type, applied, options);
  settle_namespace(type, ns, applied);
  const std::string version = type.api_version();
  for (int attempt = 1; attempt <= kAttempts; ++attempt) {
    store::RecordPtr live = store_.get(key_of(type, ns, name));
    if (!live) {
      if (!options.subresource.empty()) throw base::not_found(type.qualified(), name);
      if (!base::get_string(applied, "metadata.resourceVersion").empty())
        throw base::conflict(type.qualified(), name, std::string(kModified));
      json::value object = server_side_apply(*type.schema, nullptr, applied, options.field_manager, options.force,
                                             version, clock_.now());
      try {
        auto record = co_await create_prepared(type, ns, std::move(object), user, options, true);
        if (created) *created = true;
        co_return record;
      } catch (const base::StatusError& error) {
        if (!error.is_already_exists()) throw;  // another came first: apply to what it made
        continue;
      }
    }
    check_preconditions(type, *live, applied);
    json::value next = server_side_apply(*type.schema, live->object.get(), applied, options.field_manager,
                                         options.force, version, clock_.now(), options.subresource);
    Change change{&type, live, std::move(next), user, options, options.field_manager};
    if (auto record = co_await commit(std::move(change))) co_return record;
  }
  throw base::conflict(type.qualified(), name, std::string(kModified));
}

}  // namespace mainstay::api
