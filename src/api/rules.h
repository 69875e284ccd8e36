// Rules of Kubernetes' own kinds that a schema cannot say: defaults that depend on other fields, fields that may only
// change in certain ways, fields that must agree. Internal to api/.
#pragma once
#include <vector>

#include "api/types.h"
#include "api/verbs.h"
#include "base/json.h"

namespace mainstay::api {

// After the schema's defaults. `before` is null on create.
void apply_kind_defaults(const Type& type, const base::json::value* before, base::json::value& object);
void validate_kind(const Type& type, const base::json::value* before, const base::json::value& object,
                   std::vector<Violation>& out);
// Fields marked x-kubernetes-immutable: once set, they stay.
void validate_immutable(const Schema& schema, const base::json::value& before, const base::json::value& after,
                        std::vector<Violation>& out);

}  // namespace mainstay::api
