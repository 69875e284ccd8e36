// The work queue under every controller: each key waits at most once, is worked on by one worker at a time, and comes
// back later where asked for. A key added while it is worked on is worked on again afterwards. On the loop only.
#pragma once
#include <algorithm>
#include <chrono>
#include <deque>
#include <map>
#include <set>
#include <unordered_map>

#include "async/runtime.h"
#include "async/sync.h"

namespace mainstay::reconcile {

// K is ordered and cheap to copy.
template <class K>
class WorkQueue {
 public:
  static constexpr std::chrono::milliseconds kFirstDelay{5};
  static constexpr std::chrono::milliseconds kLastDelay{30000};

  explicit WorkQueue(async::Executor executor) : changed_(std::move(executor)) {}

  void add(const K& key) {
    if (!dirty_.insert(key).second) return;
    ++added_;
    if (working_.contains(key)) return;  // done() brings it back
    ready_.push_back(key);
    changed_.notify_all();
  }

  // The earlier of two times wins.
  void add_after(const K& key, std::chrono::nanoseconds delay) {
    if (delay <= std::chrono::nanoseconds(0)) return add(key);
    const auto due = std::chrono::steady_clock::now() + delay;
    auto [at, fresh] = due_.try_emplace(key, due);
    if (!fresh) {
      if (at->second <= due) return;
      later_.erase({at->second, key});
      at->second = due;
    }
    later_.insert({due, key});
    if (later_.begin()->second == key) changed_.notify_all();
  }

  // After a failure: 5 ms, doubling to 30 s. Gives the number of failures in a row.
  int add_failed(const K& key) {
    const int failures = ++failures_[key];
    add_after(key, std::min<std::chrono::nanoseconds>(kFirstDelay * (1LL << std::min(failures - 1, 20)), kLastDelay));
    return failures;
  }
  void forget_failures(const K& key) { failures_.erase(key); }

  // The next key; the caller works on it and then calls done().
  async::Task<K> next() {
    while (true) {
      take_due();
      if (!ready_.empty()) {
        K key = ready_.front();
        ready_.pop_front();
        dirty_.erase(key);
        working_.insert(key);
        co_return key;
      }
      std::chrono::nanoseconds limit = std::chrono::hours(1);
      if (!later_.empty())
        limit = std::max<std::chrono::nanoseconds>(later_.begin()->first - std::chrono::steady_clock::now(),
                                                   std::chrono::microseconds(50));
      co_await changed_.wait_for(limit);
    }
  }

  void done(const K& key) {
    working_.erase(key);
    if (dirty_.contains(key)) {
      ready_.push_back(key);
      changed_.notify_all();
    }
  }

  std::size_t depth() const { return ready_.size(); }
  std::size_t delayed() const { return later_.size(); }
  bool idle() const { return ready_.empty() && working_.empty(); }
  std::uint64_t added() const { return added_; }

 private:
  void take_due() {
    const auto now = std::chrono::steady_clock::now();
    while (!later_.empty() && later_.begin()->first <= now) {
      K key = later_.begin()->second;
      later_.erase(later_.begin());
      due_.erase(key);
      add(key);
    }
  }

  std::deque<K> ready_;
  std::set<K> dirty_, working_;
  std::map<K, int> failures_;
  std::map<K, std::chrono::steady_clock::time_point> due_;
  std::set<std::pair<std::chrono::steady_clock::time_point, K>> later_;
  std::uint64_t added_ = 0;
  async::Event changed_;
};

}  // namespace mainstay::reconcile
