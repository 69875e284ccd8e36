#include "async/runtime.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <csignal>
#include <thread>

#include "async/children.h"
#include "async/suspend.h"
#include "base/log.h"

namespace mainstay::async {
namespace asio = boost::asio;

struct Runtime::Impl {
  explicit Impl(unsigned threads) : guard(loop.get_executor()), children(loop), pool(threads) {}

  asio::io_context loop{1};
  asio::executor_work_guard<asio::io_context::executor_type> guard;  // work in the pool is unknown to the loop
  std::unique_ptr<asio::signal_set> signals;
  std::function<void(int)> on_signal;
  OrphanReaper children;
  asio::thread_pool pool;  // last: its threads post to the loop

  void await_signal() {
    signals->async_wait([this](const boost::system::error_code& error, int number) {
      if (error) return;
      await_signal();
      on_signal(number);
    });
  }
};

namespace {
unsigned pool_size(unsigned asked) { return asked != 0 ? asked : std::max(4u, std::thread::hardware_concurrency()); }
}  // namespace

Runtime::Runtime(unsigned pool_threads) : impl_(std::make_unique<Impl>(pool_size(pool_threads))) {
  std::signal(SIGPIPE, SIG_IGN);  // a peer that has gone is an error of the write
}

Runtime::~Runtime() {
  impl_->pool.stop();
  impl_->pool.join();
}

Executor Runtime::executor() { return impl_->loop.get_executor(); }

void Runtime::run(Task<> main) {
  std::exception_ptr error;
  asio::io_context& loop = impl_->loop;
  loop.restart();
  asio::co_spawn(loop, spawned(std::move(main)), [&error, &loop](std::exception_ptr e) {
    error = e;
    loop.stop();
  });
  loop.run();
  if (error) std::rethrow_exception(error);
}

void Runtime::on_signal(std::function<void(int)> handler) {
  impl_->on_signal = std::move(handler);
  if (impl_->signals) return;
  impl_->signals = std::make_unique<asio::signal_set>(impl_->loop, SIGINT, SIGTERM);
  impl_->await_signal();
}

Task<> Runtime::run_blocking(std::function<void()> work) {
  struct Job {
    std::function<void()> work;
    std::exception_ptr error;
  };
  auto job = std::make_shared<Job>(Job{std::move(work), nullptr});
  Impl* impl = impl_.get();
  // Named, not temporaries: suspend() keeps them in its frame.
  std::function<void(std::function<void()>)> start = [impl, job](std::function<void()> resume) {
    asio::post(impl->pool, [impl, job, resume = std::move(resume)]() mutable {
      try {
        job->work();
      } catch (...) {
        job->error = std::current_exception();
      }
      // The coroutine's handler, the work and what it threw are let go of on the loop's thread only.
      asio::post(impl->loop, [resume = std::move(resume), job = std::move(job)] { resume(); });
    });
  };
  co_await suspend(std::move(start));
  job->work = nullptr;
  if (job->error) std::rethrow_exception(job->error);
}

void Runtime::post(std::function<void()> f) {
  asio::post(impl_->loop, [f = std::move(f)] {
    try {
      f();
    } catch (const std::exception& e) {
      base::log::error("async", "a posted function failed: {}", e.what());
    }
  });
}

Task<> suspend(std::function<void(std::function<void()> resume)> start, std::function<void()> on_cancel) {
  auto initiate = [&start, &on_cancel](auto handler) {
    using Handler = decltype(handler);
    if (on_cancel) {
      asio::cancellation_slot slot = asio::get_associated_cancellation_slot(handler);
      if (slot.is_connected()) slot.assign([hurry = on_cancel](asio::cancellation_type) { hurry(); });
    }
    auto held = std::make_shared<Handler>(std::move(handler));
    start([held] {
      auto executor = asio::get_associated_executor(*held);
      asio::post(executor, [held] { std::move (*held)(); });
    });
  };
  co_await asio::async_initiate<const asio::use_awaitable_t<>&, void()>(std::move(initiate), asio::use_awaitable);
}

Task<> spawned(Task<> task) {
  co_await asio::this_coro::throw_if_cancelled(false);
  co_await asio::post(asio::use_awaitable);  // never runs inside the call that spawned it
  if (is_cancelled(co_await asio::this_coro::cancellation_state)) co_return;
  co_await std::move(task);
}

Task<> sleep_for(std::chrono::nanoseconds d) {
  MAINSTAY_CHECK_CANCELLED();
  const Executor executor = co_await asio::this_coro::executor;
  asio::steady_timer timer(executor, d);
  auto [error] = co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
  if (error) throw Cancelled();
}

Task<> yield() {
  MAINSTAY_CHECK_CANCELLED();
  co_await asio::post(asio::use_awaitable);
  MAINSTAY_CHECK_CANCELLED();
}

namespace {

bool is_cancellation(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const Cancelled&) {
    return true;
  } catch (...) {
    return false;
  }
}

}  // namespace

Task<bool> until_stopped(Task<> task, std::shared_ptr<Stopper> stopper) {
  MAINSTAY_CHECK_CANCELLED();
  const Executor executor = co_await asio::this_coro::executor;
  const auto finish = [stopper](std::exception_ptr error) {
    stopper->error_ = error;
    stopper->done_ = true;
    if (stopper->resume_) std::exchange(stopper->resume_, nullptr)();
  };
  asio::co_spawn(executor, spawned(std::move(task)), asio::bind_cancellation_slot(stopper->signal_.slot(), finish));
  std::function<void(std::function<void()>)> start = [stopper](std::function<void()> resume) {
    if (stopper->done_) return resume();
    stopper->resume_ = std::move(resume);
  };
  std::function<void()> on_cancel = [stopper] { stopper->signal_.emit(asio::cancellation_type::terminal); };
  co_await suspend(std::move(start), std::move(on_cancel));
  if (!stopper->error_) {
    MAINSTAY_CHECK_CANCELLED();  // cancelled before it had begun, it has no result
    co_return !stopper->stopped_;
  }
  if (stopper->stopped_ && is_cancellation(stopper->error_)) {
    MAINSTAY_CHECK_CANCELLED();
    co_return false;
  }
  std::rethrow_exception(stopper->error_);
}

Task<bool> detail::race_timeout(std::function<Task<void>()> start, std::chrono::nanoseconds limit) {
  const Executor executor = co_await asio::this_coro::executor;
  auto stopper = std::make_shared<Stopper>();
  asio::steady_timer timer(executor, limit);
  timer.async_wait([stopper](const boost::system::error_code& error) {
    if (!error) stopper->stop();
  });
  co_return co_await until_stopped(start(), stopper);
}

Task<bool> with_timeout(Task<void> task, std::chrono::nanoseconds limit) {
  auto box = std::make_shared<Task<void>>(std::move(task));
  std::function<Task<void>()> start = [box] { return std::move(*box); };
  co_return co_await detail::race_timeout(std::move(start), limit);
}

}  // namespace mainstay::async
