#include "async/sync.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <list>

#include "async/suspend.h"

namespace mainstay::async {
namespace asio = boost::asio;

struct Event::Impl {
  struct Waiter {
    asio::steady_timer timer;
    bool notified = false;
  };
  explicit Impl(Executor e) : executor(std::move(e)) {}

  Executor executor;
  std::list<Waiter*> waiters;

  void wake(bool notified) {
    for (Waiter* waiter : std::exchange(waiters, {})) {
      waiter->notified = notified;
      waiter->timer.cancel();
    }
  }

  // True: notified. False: the time came first.
  static Task<bool> wait(std::shared_ptr<Impl> impl, std::chrono::steady_clock::time_point deadline) {
    MAINSTAY_CHECK_CANCELLED();
    Waiter waiter{asio::steady_timer(impl->executor, deadline)};
    struct Registered {
      std::shared_ptr<Impl> impl;
      Waiter* waiter;
      ~Registered() { std::erase(impl->waiters, waiter); }
    } registered{impl, &waiter};
    impl->waiters.push_back(&waiter);
    auto [error] = co_await waiter.timer.async_wait(asio::as_tuple(asio::use_awaitable));
    if (waiter.notified) co_return true;
    if (error) throw Cancelled();  // by the group, or the event has gone
    co_return false;
  }
};

Event::Event(Executor executor) : impl_(std::make_shared<Impl>(std::move(executor))) {}

Event::~Event() {
  if (impl_) impl_->wake(false);
}

void Event::notify_all() { impl_->wake(true); }

Task<> Event::wait() { co_await Impl::wait(impl_, std::chrono::steady_clock::time_point::max()); }

Task<bool> Event::wait_for(std::chrono::nanoseconds limit) {
  const auto now = std::chrono::steady_clock::now();
  const auto room = std::chrono::steady_clock::time_point::max() - now;
  const auto deadline = limit < room ? now + limit : std::chrono::steady_clock::time_point::max();
  co_return co_await Impl::wait(impl_, deadline);
}

}  // namespace mainstay::async
