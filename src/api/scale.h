// The scale subresource: a Scale (autoscaling/v1) is a view of an object's replicas. Internal to api/.
#pragma once
#include "api/types.h"
#include "base/json.h"

namespace mainstay::api {

// `next` with the replicas that a Scale asks for; throws StatusError 400 or 422 where the body is no Scale.
void apply_scale(const Type& type, const base::json::value& scale, base::json::value& next);

}  // namespace mainstay::api
