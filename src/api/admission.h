// Admission: what may change or refuse an object between authorization and the store. Plugins run in registration
// order, mutating ones first. They answer from what is known (caches), never by calling out: a push must not wait on a
// webhook.
#pragma once
#include <functional>
#include <string>

#include "api/types.h"
#include "api/user.h"
#include "async/task.h"
#include "base/json.h"

namespace mainstay::api {

enum class Operation { kCreate, kUpdate, kDelete };

struct AdmissionRequest {
  Operation operation;
  const Type* type;
  std::string subresource;  // "status", "" for the object itself
  std::string ns, name;     // name may be empty on create with generateName
  UserInfo user;
  base::json::value* object;            // to be changed by mutating plugins; null on delete
  const base::json::value* old_object;  // null on create
  bool dry_run = false;
};

struct AdmissionPlugin {
  std::string name;
  bool mutating = false;
  std::function<bool(const AdmissionRequest&)> matches;   // cheap
  std::function<async::Task<>(AdmissionRequest&)> admit;  // throws StatusError to refuse
};

}  // namespace mainstay::api
