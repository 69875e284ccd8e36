#include "capabilities/identity/limiter.h"

#include <algorithm>

namespace mainstay::identity {

std::chrono::seconds FailureLimiter::wait(const std::string& key) const {
  const auto at = seen_.find(key);
  if (at == seen_.end() || at->second.until <= clock_.now()) return {};
  return std::chrono::ceil<std::chrono::seconds>(at->second.until - clock_.now());
}

void FailureLimiter::failed(const std::string& key) {
  const auto now = clock_.now();
  if (seen_.size() >= kMaxKeys) {
    std::erase_if(seen_, [&](const auto& entry) { return entry.second.last + longest_ < now; });
    if (seen_.size() >= kMaxKeys) seen_.erase(seen_.begin());
  }
  Entry& entry = seen_[key];
  if (entry.last + 2 * longest_ < now) entry = {};
  entry.last = now;
  if (++entry.failures <= free_) return;
  const int doublings = std::min(entry.failures - free_ - 1, 20);
  entry.until = now + std::min<std::chrono::seconds>(longest_, std::chrono::seconds(1LL << doublings));
}

}  // namespace mainstay::identity
