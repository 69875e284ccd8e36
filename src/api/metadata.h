// What the server itself keeps and checks in every object's metadata. Internal to api/.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "api/types.h"
#include "api/verbs.h"
#include "base/json.h"

namespace mainstay::api {

// 400 where apiVersion or kind are not the type's; absent ones are filled in.
void check_kind(const Type& type, base::json::value& object);
// 400 where the object nests so deeply that it could not be stored with what the server adds to it.
void check_depth(const base::json::value& object);
// Prunes, and answers unknown fields as `field_validation` says: not at all, as warnings, or with 400.
void drop_unknown(const Type& type, base::json::value& object, const WriteOptions& options);
// Fills metadata.namespace and checks it against the request's; 400 where they differ.
void settle_namespace(const Type& type, std::string_view ns, base::json::value& object);
// Metadata of an object about to be created: uid and times are the server's, never the client's.
void stamp_new(const Type& type, base::json::value& object, base::SystemTime now);
// Carries over what updates cannot change from `live` to `next`.
void carry_over(const base::json::value& live, base::json::value& next);
// Names, labels, annotations, finalizers, owner references.
void validate_metadata(const Type& type, const base::json::value* before, const base::json::value& object,
                       std::vector<Violation>& out);
// Throws 422 with all of `violations`, if there are any.
void refuse_violations(const Type& type, std::string_view name, std::vector<Violation> violations);
// Nothing keeps an object that is being deleted any more: no finalizer, no grace period.
bool ready_to_go(const base::json::value& object);
bool is_namespace(const Type& type);
bool is_pod(const Type& type);

}  // namespace mainstay::api
