#include <gtest/gtest.h>

#include <stdexcept>

#include "async/runtime.h"
#include "async/sync.h"

namespace mainstay::async {
namespace {

using namespace std::chrono_literals;

Task<> count_to(std::shared_ptr<int> counter, int n) {
  for (int i = 0; i < n; ++i) {
    co_await yield();
    ++*counter;
  }
}

Task<> sleeps_until_cancelled(std::shared_ptr<int> cancelled) {
  try {
    co_await sleep_for(1h);
  } catch (const Cancelled&) {
    ++*cancelled;
    throw;
  }
}

Task<> ignores_the_first_cancel(std::shared_ptr<int> cancelled) {
  try {
    co_await sleep_for(1h);
  } catch (const Cancelled&) {
    ++*cancelled;
  }
  co_await sleep_for(1h);  // throws at once: the task stays cancelled
}

Task<> throws() {
  co_await yield();
  throw std::runtime_error("expected in the log of this test");
}

Task<> joins_all(Executor executor) {
  auto counter = std::make_shared<int>(0);
  TaskGroup group(executor, "test");
  for (int i = 0; i < 10; ++i) group.spawn("count", count_to(counter, 3));
  EXPECT_EQ(*counter, 0) << "a spawned task does not run inside spawn()";
  EXPECT_EQ(group.size(), 10u);
  group.spawn("throws", throws());
  co_await group.join();
  EXPECT_EQ(*counter, 30);
  EXPECT_EQ(group.size(), 0u);
}

TEST(TaskGroup, JoinWaitsForAllAndAFailureStaysItsOwn) {
  Runtime runtime;
  runtime.run(joins_all(runtime.executor()));
}

Task<> cancels_all(Executor executor) {
  auto cancelled = std::make_shared<int>(0);
  TaskGroup group(executor, "test");
  group.spawn("a", sleeps_until_cancelled(cancelled));
  group.spawn("b", ignores_the_first_cancel(cancelled));
  co_await sleep_for(1ms);
  group.spawn("not begun", sleeps_until_cancelled(cancelled));
  group.cancel();
  group.spawn("refused", sleeps_until_cancelled(cancelled));
  EXPECT_EQ(group.size(), 3u);
  co_await group.join();
  EXPECT_EQ(*cancelled, 2) << "the one that had not begun does not begin";
}

TEST(TaskGroup, CancelReachesEveryTask) {
  Runtime runtime;
  runtime.run(cancels_all(runtime.executor()));
}

// A service with tasks of its own: it can still join them when it is cancelled itself.
Task<> service(Executor executor, std::shared_ptr<int> cancelled, std::shared_ptr<bool> clean) {
  TaskGroup inner(executor, "inner");
  inner.spawn("sleep", sleeps_until_cancelled(cancelled));
  std::exception_ptr error;
  try {
    co_await sleep_for(1h);
  } catch (...) {
    error = std::current_exception();
  }
  inner.cancel();
  co_await inner.join();
  *clean = inner.size() == 0;
  if (error) std::rethrow_exception(error);
}

Task<> cancels_nested(Executor executor) {
  auto cancelled = std::make_shared<int>(0);
  auto clean = std::make_shared<bool>(false);
  TaskGroup group(executor, "outer");
  group.spawn("service", service(executor, cancelled, clean));
  co_await sleep_for(1ms);
  group.cancel();
  co_await group.join();
  EXPECT_EQ(*cancelled, 1);
  EXPECT_TRUE(*clean);
}

TEST(TaskGroup, ACancelledTaskCanJoinItsOwnGroup) {
  Runtime runtime;
  runtime.run(cancels_nested(runtime.executor()));
}

Task<> cancels_through_timeout(Executor executor) {
  auto cancelled = std::make_shared<int>(0);
  struct Wrapped {
    static Task<> run(std::shared_ptr<int> c) { co_await with_timeout(sleeps_until_cancelled(c), 1h); }
  };
  TaskGroup group(executor, "test");
  group.spawn("timeout", Wrapped::run(cancelled));
  co_await sleep_for(1ms);
  group.cancel();
  co_await group.join();
  EXPECT_EQ(*cancelled, 1);
}

TEST(TaskGroup, CancelPassesThroughATimeout) {
  Runtime runtime;
  runtime.run(cancels_through_timeout(runtime.executor()));
}

Task<> blocks_while_cancelled(Runtime& runtime, std::shared_ptr<int> done) {
  struct Worker {
    static Task<> run(Runtime& r, std::shared_ptr<int> d) {
      const int value = co_await r.blocking([] {
        std::this_thread::sleep_for(20ms);
        return 5;
      });
      *d = value;
      co_await yield();
      *d = -1;  // not reached
    }
  };
  TaskGroup group(runtime.executor(), "test");
  group.spawn("worker", Worker::run(runtime, done));
  co_await sleep_for(2ms);
  group.cancel();
  co_await group.join();
}

TEST(TaskGroup, BlockingWorkIsFinishedAndThenCancelled) {
  Runtime runtime;
  auto done = std::make_shared<int>(0);
  runtime.run(blocks_while_cancelled(runtime, done));
  EXPECT_EQ(*done, 5);
}

}  // namespace
}  // namespace mainstay::async
