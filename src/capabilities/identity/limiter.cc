#include "capabilities/identity/limiter.h"

#include <algorithm>

namespace mainstay::identity {

std::chrono::seconds FailureLimiter::wait(const std::string& key) const {
  const auto at = seen_.find(key);
  if (at == seen_.end() || at->second.until <= clock_.now()) return {};
  return std::chrono::ceil<std::chrono::seconds>(at->second.until - clock_.now());
}

FailureLimiter::Charge FailureLimiter::charge(const std::string& key) {
  const auto now = clock_.now();
  if (seen_.size() >= kMaxKeys) {
    std::erase_if(seen_, [&](const auto& entry) { return entry.second.last + longest_ < now; });
    if (seen_.size() >= kMaxKeys) seen_.erase(seen_.begin());
  }
  Entry& entry = seen_[key];
  if (entry.last + 2 * longest_ < now) entry = {};
  entry.last = now;
  const base::SystemTime before = entry.until;
  if (++entry.failures > free_) {
    const int doublings = std::min(entry.failures - free_ - 1, 20);
    entry.until = now + std::min<std::chrono::seconds>(longest_, std::chrono::seconds(1LL << doublings));
  }
  return {key, before, entry.until};
}

void FailureLimiter::take_back(const Charge& charge) {
  const auto at = seen_.find(charge.key);
  if (at == seen_.end()) return;
  if (at->second.failures > 0) --at->second.failures;
  if (at->second.until == charge.until) at->second.until = charge.before;  // nobody else has failed since
}

}  // namespace mainstay::identity
