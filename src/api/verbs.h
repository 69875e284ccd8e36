// The generic object verbs over the store: get, list, watch, create, update, patch, apply, delete, status. No HTTP
// here: server.cc translates. Everything throws StatusError. On the loop.
#pragma once
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/admission.h"
#include "api/types.h"
#include "api/user.h"
#include "async/task.h"
#include "base/clock.h"
#include "base/selector.h"
#include "store/backend.h"

namespace mainstay::api {

enum class PatchType { kJson, kMerge, kStrategic, kApply };

struct WriteOptions {
  std::string subresource;  // "", "status", "scale" (the body is a Scale) or "finalize" (namespaces)
  std::string field_manager = "unknown";
  std::string field_validation = "Warn";  // Ignore, Warn, Strict
  bool force = false;                     // apply: take over conflicting fields
  bool dry_run = false;
  std::vector<std::string>* warnings = nullptr;  // answered as Warning headers
};
struct ListOptions {
  base::LabelSelector labels;
  base::FieldSelector fields;
  std::size_t limit = 0;
  std::string continue_token;
  std::string resource_version;
  bool exact = false;  // resourceVersionMatch=Exact: as it was at that very version
};
struct ListResult {
  std::vector<store::RecordPtr> items;
  std::int64_t revision = 0;
  std::string continue_token;  // "" at the end
  std::size_t remaining = 0;
};
struct DeleteOptions {
  std::string propagation;  // Background (default), Foreground, Orphan
  std::optional<std::int64_t> grace_seconds;
  std::string uid_precondition, version_precondition;
  bool dry_run = false;
};
using Admit = std::function<async::Task<>(AdmissionRequest&)>;

class Verbs {
 public:
  Verbs(const TypeRegistry& types, store::Backend& store, base::Clock& clock, Admit admit);

  store::RecordPtr get(const Type& type, std::string_view ns, std::string_view name) const;
  ListResult list(const Type& type, std::string_view ns, const ListOptions& options) const;
  async::Task<store::RecordPtr> create(const Type& type, std::string ns, base::json::value object, UserInfo user,
                                       WriteOptions options);
  async::Task<store::RecordPtr> update(const Type& type, std::string ns, std::string name, base::json::value object,
                                       UserInfo user, WriteOptions options);
  // `created` tells whether apply made it. A patch that changes nothing writes nothing.
  async::Task<store::RecordPtr> patch(const Type& type, std::string ns, std::string name, PatchType kind,
                                      base::json::value patch, UserInfo user, WriteOptions options, bool* created);
  // The object as it is after: still there (finalizers, grace) or gone (`gone` true).
  async::Task<store::RecordPtr> remove(const Type& type, std::string ns, std::string name, DeleteOptions options,
                                       UserInfo user, bool* gone);
  async::Task<std::vector<store::RecordPtr>> remove_collection(const Type& type, std::string ns, ListOptions which,
                                                               DeleteOptions options, UserInfo user);

 private:
  // A change of `live` on its way to the store.
  struct Change {
    const Type* type;
    store::RecordPtr live;
    base::json::value next;
    UserInfo user;
    WriteOptions options;
    std::string apply_manager;  // set where server-side apply has already written managedFields
  };
  store::Key key_of(const Type& type, std::string_view ns, std::string_view name) const;
  store::RecordPtr require(const Type& type, std::string_view ns, std::string_view name) const;  // or 404
  void check_namespace(const Type& type, const std::string& ns, const std::string& name) const;
  async::Task<> admit(AdmissionRequest& request) const;
  // Brings `change.next` into the state it would be stored in: server-kept metadata, subresource rules, defaults,
  // admission, validation, generation, managed fields.
  async::Task<> settle(Change& change) const;
  // The record as it is then; null where another write came first.
  async::Task<store::RecordPtr> commit(Change change);
  async::Task<store::RecordPtr> put_new(const Type& type, store::Key key, base::json::value object, bool generated);
  async::Task<store::RecordPtr> create_prepared(const Type& type, std::string ns, base::json::value object,
                                                UserInfo user, WriteOptions options, bool applied);
  async::Task<store::RecordPtr> apply(const Type& type, std::string ns, std::string name, base::json::value applied,
                                      UserInfo user, WriteOptions options, bool* created);
  async::Task<store::RecordPtr> remove_once(const Type& type, store::RecordPtr live, const DeleteOptions& options,
                                            const UserInfo& user, bool* gone);

  const TypeRegistry& types_;
  store::Backend& store_;
  base::Clock& clock_;
  Admit admit_;
};

// The Scale (autoscaling/v1) of an object of a type with the scale subresource.
base::json::value scale_of(const Type& type, const base::json::value& object);

// Pure functions over schemas, each in its own file (validate.cc, defaults.cc, strategic.cc, apply.cc, table.cc,
// openapi.cc).
struct Violation {
  std::string field, reason, message;
};
std::vector<Violation> validate(const Schema& schema, const base::json::value& object);
void apply_defaults(const Schema& schema, base::json::value& object);
// Removes unknown fields; their paths go to `dropped`.
void prune(const Schema& schema, base::json::value& object, std::vector<std::string>* dropped);
base::Result<> apply_json_patch(base::json::value& target, const base::json::value& patch);  // RFC 6902
base::Result<> apply_strategic_patch(const Schema& schema, base::json::value& target, const base::json::value& patch);
// Server-side apply; throws StatusError 409 naming the conflicting managers and fields.
base::json::value server_side_apply(const Schema& schema, const base::json::value* live,
                                    const base::json::value& applied, std::string_view manager, bool force,
                                    std::string_view api_version, base::SystemTime now,
                                    std::string_view subresource = "");
// Records who manages what after an ordinary update.
void track_managed_fields(const Schema& schema, const base::json::value* before, base::json::value& after,
                          std::string_view manager, std::string_view subresource, std::string_view api_version,
                          base::SystemTime now);
// includeObject of a Table request: nothing, metadata (kubectl's default), or all of each object.
enum class IncludeObject { kNone, kMetadata, kObject };
base::json::value to_table(const Type& type, const std::vector<store::RecordPtr>& items, IncludeObject include,
                           base::SystemTime now);
base::json::value to_table(const Type& type, const std::vector<store::RecordPtr>& items, bool objects_too,
                           base::SystemTime now);
base::json::value discovery_groups(const TypeRegistry& types);
base::json::value discovery_resources(const TypeRegistry& types, std::string_view group, std::string_view version);
base::json::value discovery_aggregated(const TypeRegistry& types, bool core);
base::json::value openapi_v2(const TypeRegistry& types);
std::string openapi_v2_protobuf(
    const base::json::value& document);  // gnostic's openapi.v2.Document, which kubectl up to 1.2x asks for
base::json::value openapi_v3_index(const TypeRegistry& types);
base::json::value openapi_v3(const TypeRegistry& types, std::string_view group, std::string_view version);

}  // namespace mainstay::api
