// The event loop, the pool for blocking work, timers and signals: the only door to Asio.
#pragma once
#include <chrono>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include "async/task.h"
#include "base/result.h"

namespace mainstay::async {

class Runtime {
 public:
  explicit Runtime(unsigned pool_threads = 0);  // 0: as many as cores, at least 4
  ~Runtime();                                   // joins the pool
  Runtime(const Runtime&) = delete;

  Executor executor();
  // Runs the loop on the calling thread until `main` ends; rethrows what it throws.
  void run(Task<> main);
  // From now on SIGINT and SIGTERM call the handler on the loop instead of ending the program.
  void on_signal(std::function<void(int)> handler);

  // Runs `work` on the pool and resumes the caller on the loop. Exceptions come back to the caller. Neither the work
  // nor the wait is cancelled (a cancelled task may clean up with it): keep it short or give it its own flag. Excess
  // work waits in a queue.
  Task<> run_blocking(std::function<void()> work);
  template <class F>
  auto blocking(F work) -> Task<std::invoke_result_t<F>>;

  // Thread-safe: runs `f` on the loop soon.
  void post(std::function<void()> f);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

template <class F>
auto Runtime::blocking(F work) -> Task<std::invoke_result_t<F>> {
  using R = std::invoke_result_t<F>;
  if constexpr (std::is_void_v<R>) {
    co_await run_blocking(std::move(work));
  } else {
    auto result = std::make_shared<std::optional<R>>();
    auto shared = std::make_shared<F>(std::move(work));
    co_await run_blocking([result, shared] { result->emplace((*shared)()); });
    co_return std::move(**result);
  }
}

// Suspends for `d`. Throws Cancelled when the group it runs in is cancelled.
Task<> sleep_for(std::chrono::nanoseconds d);
// Lets others run: use in long loops on the event loop.
Task<> yield();

// Thrown out of a suspended operation when its group is cancelled. Do not swallow it: let it leave the coroutine.
class Cancelled : public std::exception {
 public:
  const char* what() const noexcept override { return "cancelled"; }
};

// Owns the coroutines of one service. An exception leaving one (other than Cancelled) is logged with its name. On the
// loop only.
class TaskGroup {
 public:
  explicit TaskGroup(Executor executor, std::string name);
  ~TaskGroup();  // asserts that it was joined or empty
  TaskGroup(const TaskGroup&) = delete;
  void spawn(std::string name, Task<> task);
  void cancel();  // emits terminal cancellation to each; later spawns are refused (dropped)
  Task<> join();  // waits until all have ended, also in a cancelled task
  std::size_t size() const;
  Executor executor() const;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

// Awaits `task` for at most `limit`, then cancels it and waits for its end. nullopt: timed out.
template <class T>
Task<std::optional<T>> with_timeout(Task<T> task, std::chrono::nanoseconds limit);
Task<bool> with_timeout(Task<void> task, std::chrono::nanoseconds limit);  // false: timed out

namespace detail {
Task<bool> race_timeout(std::function<Task<void>()> start, std::chrono::nanoseconds limit);
}
template <class T>
Task<std::optional<T>> with_timeout(Task<T> task, std::chrono::nanoseconds limit) {
  struct Box {
    Task<T> task;
    std::optional<T> value;
  };
  auto box = std::make_shared<Box>(Box{std::move(task), std::nullopt});
  struct Run {
    static Task<void> go(std::shared_ptr<Box> b) { b->value.emplace(co_await std::move(b->task)); }
  };
  co_await detail::race_timeout([box] { return Run::go(box); }, limit);
  co_return std::move(box->value);
}

}  // namespace mainstay::async
