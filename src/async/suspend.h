// What the .cc files of async/ and net/ share about suspension and cancellation. Not for other layers.
//
// Every coroutine starts through co_spawn with `throw_if_cancelled(false)`: Asio then never throws its own error at a
// co_await, and each operation that can be cancelled does two things itself: it throws Cancelled at once where the task
// has been cancelled already, and it turns operation_aborted into Cancelled.
#pragma once
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/this_coro.hpp>
#include <exception>
#include <functional>
#include <memory>

#include "async/runtime.h"

namespace mainstay::async {

inline bool is_cancelled(const boost::asio::cancellation_state& state) {
  return state.cancelled() != boost::asio::cancellation_type::none;
}

// Leaves the coroutine where its task has been cancelled.
#define MAINSTAY_CHECK_CANCELLED()                                                          \
  if (::mainstay::async::is_cancelled(co_await boost::asio::this_coro::cancellation_state)) \
  throw ::mainstay::async::Cancelled()

// Suspends until the function given to `start` is called (once, on the loop). Cancellation does not end the wait: it
// calls `on_cancel`, which may hurry up what is waited for.
Task<> suspend(std::function<void(std::function<void()> resume)> start, std::function<void()> on_cancel = {});

// Stops one task from outside, see until_stopped().
class Stopper {
 public:
  void stop() {
    if (done_ || stopped_) return;
    stopped_ = true;
    signal_.emit(boost::asio::cancellation_type::terminal);
  }

 private:
  friend Task<bool> until_stopped(Task<> task, std::shared_ptr<Stopper> stopper);
  boost::asio::cancellation_signal signal_;
  std::exception_ptr error_;
  std::function<void()> resume_;
  bool done_ = false, stopped_ = false;
};
// Awaits `task`, which the stopper may cancel meanwhile. false: it was stopped before its end. Throws what the task
// throws, and Cancelled where the caller is cancelled, in both cases after the task has ended.
Task<bool> until_stopped(Task<> task, std::shared_ptr<Stopper> stopper);

// The first thing in every spawned coroutine, see above.
Task<> spawned(Task<> task);

}  // namespace mainstay::async
