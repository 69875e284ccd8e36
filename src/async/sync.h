// Waiting for one another on the event loop. Not thread-safe: use from the loop only (Runtime::post brings you there).
#pragma once
#include <chrono>
#include <cstddef>
#include <deque>
#include <memory>
#include <optional>

#include "async/task.h"

namespace mainstay::async {

// A condition: wait() suspends until the next notify_all(), or cancellation (throws Cancelled). Recheck after waking.
class Event {
 public:
  explicit Event(Executor executor);
  ~Event();
  void notify_all();
  Task<> wait();
  // false: `limit` passed first.
  Task<bool> wait_for(std::chrono::nanoseconds limit);

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

// A bounded queue between coroutines. close() lets readers drain, then pop() gives nullopt.
template <class T>
class Channel {
 public:
  Channel(Executor executor, std::size_t capacity) : changed_(executor), capacity_(capacity) {}
  bool try_push(T value) {  // false: full or closed
    if (closed_ || items_.size() >= capacity_) return false;
    items_.push_back(std::move(value));
    changed_.notify_all();
    return true;
  }
  Task<bool> push(T value) {  // false: closed
    while (!closed_ && items_.size() >= capacity_) co_await changed_.wait();
    if (closed_) co_return false;
    items_.push_back(std::move(value));
    changed_.notify_all();
    co_return true;
  }
  Task<std::optional<T>> pop() {
    while (items_.empty() && !closed_) co_await changed_.wait();
    if (items_.empty()) co_return std::nullopt;
    T value = std::move(items_.front());
    items_.pop_front();
    changed_.notify_all();
    co_return std::move(value);
  }
  void close() {
    closed_ = true;
    changed_.notify_all();
  }
  std::size_t size() const { return items_.size(); }

 private:
  Event changed_;
  std::deque<T> items_;
  std::size_t capacity_;
  bool closed_ = false;
};

}  // namespace mainstay::async
