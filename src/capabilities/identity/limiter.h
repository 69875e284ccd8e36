// Slows down who fails again and again: signing in, one-time codes, client secrets, device codes.
#pragma once
#include <chrono>
#include <string>
#include <unordered_map>

#include "base/clock.h"

namespace mainstay::identity {

// In memory, bounded; forgotten by a restart, which takes longer than the first waits do. On the loop.
class FailureLimiter {
 public:
  // `free` failures cost nothing; each further one doubles the wait from a second to `longest`.
  FailureLimiter(const base::Clock& clock, int free, std::chrono::seconds longest)
      : clock_(clock), free_(free), longest_(longest) {}
  // How long this key must wait; zero: it may try.
  std::chrono::seconds wait(const std::string& key) const;
  void failed(const std::string& key);
  void succeeded(const std::string& key) { seen_.erase(key); }

 private:
  struct Entry {
    int failures = 0;
    base::SystemTime until, last;
  };
  static constexpr std::size_t kMaxKeys = 10'000;
  const base::Clock& clock_;
  int free_;
  std::chrono::seconds longest_;
  std::unordered_map<std::string, Entry> seen_;
};

}  // namespace mainstay::identity
