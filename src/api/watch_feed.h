// A watch of one type's objects, selectors applied: what the HTTP watch writes out and in-process caches read directly.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "api/types.h"
#include "async/task.h"
#include "base/clock.h"
#include "base/selector.h"
#include "store/backend.h"

namespace mainstay::api {

enum class WatchType { kAdded, kModified, kDeleted, kBookmark };
std::string_view to_string(WatchType type);  // "ADDED"…

struct FeedEvent {
  WatchType type;
  std::shared_ptr<const base::json::value> object;
  std::shared_ptr<const std::string> bytes;  // the same as compact JSON
  store::RecordPtr record;                   // null for a bookmark
};

struct FeedOptions {
  std::string ns;  // "": all namespaces
  base::LabelSelector labels;
  base::FieldSelector fields;
  std::string resource_version;        // "" and "0": first everything there is, as ADDED
  std::optional<bool> initial_events;  // sendInitialEvents: forces or leaves out that first part
  bool bookmarks = true;
  std::optional<base::SteadyTime> end;  // then next() gives nullopt
};

// On the loop only. Owned by one reader, which must not outlive the store.
class WatchFeed {
 public:
  // Throws StatusError: 400 for a malformed resourceVersion, 410 where history no longer reaches back to it.
  WatchFeed(const Type& type, store::Backend& store, FeedOptions options);
  ~WatchFeed();
  // The next event that the selection sees; a bookmark at least every minute where asked for. Throws StatusError 410
  // where the reader was too slow.
  async::Task<std::optional<FeedEvent>> next();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mainstay::api
