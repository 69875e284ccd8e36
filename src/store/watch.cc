#include "store/watch.h"

namespace mainstay::store {

using base::ErrorCode;
using base::fail;

Watch::Watch(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
Watch::~Watch() = default;

async::Task<base::Result<std::optional<Change>>> Watch::next(std::chrono::nanoseconds limit) {
  const auto impl = impl_;  // the watch may go while this waits
  const auto now = std::chrono::steady_clock::now();
  const auto deadline = limit < std::chrono::hours(24 * 365) ? now + limit : now + std::chrono::hours(24 * 365);
  for (;;) {
    History& history = *impl->history;
    if (impl->position < history.begin())
      co_return fail(ErrorCode::kExhausted, "the watch fell behind the changes that are kept: list again");
    if (impl->position < history.end()) {
      Change change = history.at(impl->position++);
      impl->revision = change.revision;
      co_return std::move(change);
    }
    if (history.progress().closed) co_return fail(ErrorCode::kUnavailable, "the store is stopping");
    const auto left = deadline - std::chrono::steady_clock::now();
    if (left <= std::chrono::nanoseconds(0) || !co_await history.changed.wait_for(left)) {
      if (impl->position != history.end()) continue;  // a change came with the deadline
      co_return std::optional<Change>();
    }
  }
}

std::int64_t Watch::revision() const {
  // Nothing waits: whatever the backend has acknowledged so far was not of this resource, or was given out.
  if (impl_->position == impl_->history->end()) return std::max(impl_->revision, impl_->history->progress().revision);
  return impl_->revision;
}

}  // namespace mainstay::store
