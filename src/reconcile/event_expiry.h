// Deletes Events that are older than an hour, and the oldest where there are too many.
#pragma once
#include "api/types.h"
#include "async/runtime.h"
#include "base/clock.h"
#include "client/cache.h"

namespace mainstay::reconcile {

// The names to delete now: those last seen before `now` - 1 h, and the oldest beyond `max`. Pure.
std::vector<client::ObjectPtr> expired_events(std::vector<client::ObjectPtr> events, base::SystemTime now,
                                              std::size_t max);

// Of both groups that have Events, as far as their types are there.
void start_event_expiry(async::TaskGroup& group, client::Caches& caches, const api::TypeRegistry& types,
                        client::ApiClient client);

}  // namespace mainstay::reconcile
