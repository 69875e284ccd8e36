// Slows down who fails again and again: signing in, one-time codes, client secrets, device codes.
#pragma once
#include <algorithm>
#include <chrono>
#include <list>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/clock.h"

namespace mainstay::identity {

// In memory, bounded; forgotten by a restart, which takes longer than the first waits do. On the loop.
class FailureLimiter {
  struct Charge {
    std::string key;
    base::SystemTime before, until;  // the key's wait before and with it
  };

 public:
  // `free` failures cost nothing; each further one doubles the wait from a second to `longest`.
  FailureLimiter(const base::Clock& clock, int free, std::chrono::seconds longest)
      : clock_(clock), free_(free), longest_(longest) {}
  // How long this key must wait; zero: it may try.
  std::chrono::seconds wait(const std::string& key) const;
  void failed(const std::string& key) { (void)charge(key); }
  void succeeded(const std::string& key) { seen_.erase(key); }

  // A try that takes time to judge: it counts as failed from its beginning, so that a hundred sent at once are not all
  // let in before the first has failed. Unless failed() is called its end takes that back.
  class Attempt {
   public:
    Attempt(FailureLimiter& limiter, const std::string& key) : limiter_(limiter), charge_(limiter.charge(key)) {}
    ~Attempt() {
      if (!failed_) limiter_.take_back(charge_);
    }
    Attempt(const Attempt&) = delete;
    void failed() { failed_ = true; }

   private:
    FailureLimiter& limiter_;
    const Charge charge_;
    bool failed_ = false;
  };

 private:
  struct Entry {
    int failures = 0;
    base::SystemTime until, last;
  };
  Charge charge(const std::string& key);
  void take_back(const Charge& charge);

  static constexpr std::size_t kMaxKeys = 10'000;
  const base::Clock& clock_;
  int free_;
  std::chrono::seconds longest_;
  std::unordered_map<std::string, Entry> seen_;
};

// One try that comes under several limits.
class LimitedTry {
 public:
  explicit LimitedTry(std::vector<std::pair<FailureLimiter*, std::string>> limits) : limits_(std::move(limits)) {}
  std::chrono::seconds wait() const {
    std::chrono::seconds longest{};
    for (const auto& [limiter, key] : limits_) longest = std::max(longest, limiter->wait(key));
    return longest;
  }
  void begin() {
    for (const auto& [limiter, key] : limits_) attempts_.emplace_back(*limiter, key);
  }
  void failed() {
    for (auto& attempt : attempts_) attempt.failed();
  }
  // The first limit forgets what failed before.
  void succeeded() { limits_.front().first->succeeded(limits_.front().second); }

 private:
  std::vector<std::pair<FailureLimiter*, std::string>> limits_;
  std::list<FailureLimiter::Attempt> attempts_;
};

}  // namespace mainstay::identity
