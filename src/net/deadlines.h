// One timer for the time limits of many connections. A timer per read would cost a system call each; here setting a
// limit is a store, and the timer moves only when a limit comes before the one it waits for.
#pragma once
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <list>
#include <memory>

#include "async/task.h"

namespace mainstay::net {

class Deadlines : public std::enable_shared_from_this<Deadlines> {
 public:
  using Time = std::chrono::steady_clock::time_point;
  static constexpr Time kNever = Time::max();

  // Something with a time limit. Its owner unregisters it before it goes.
  class Entry {
   public:
    virtual void on_deadline() = 0;  // on the loop, at most 100 ms late

   protected:
    ~Entry() = default;

   private:
    friend class Deadlines;
    Time deadline_ = kNever;
    std::list<Entry*>::iterator at_;
  };

  explicit Deadlines(async::Executor executor) : timer_(std::move(executor)) {}
  void add(Entry& entry);
  void remove(Entry& entry);
  void set(Entry& entry, Time deadline);
  static Time of(const Entry& entry) { return entry.deadline_; }

 private:
  void schedule(Time at);
  void tick();

  boost::asio::steady_timer timer_;
  Time next_ = kNever;
  std::list<Entry*> entries_;
};

}  // namespace mainstay::net
