#include "async/runtime.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <stdexcept>
#include <thread>

namespace mainstay::async {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

Task<> fails() {
  co_await yield();
  throw std::runtime_error("broken");
}
Task<int> value_after(std::chrono::milliseconds d, int value) {
  co_await sleep_for(d);
  co_return value;
}
Task<> nap(std::chrono::milliseconds d) { co_await sleep_for(d); }

TEST(Runtime, RethrowsWhatMainThrowsAndRunsAgain) {
  Runtime runtime;
  EXPECT_THROW(runtime.run(fails()), std::runtime_error);
  EXPECT_NO_THROW(runtime.run(nap(1ms)));
}

Task<> blocks(Runtime& runtime, std::thread::id loop) {
  const auto worker = co_await runtime.blocking([] { return std::this_thread::get_id(); });
  EXPECT_NE(worker, loop);
  EXPECT_EQ(std::this_thread::get_id(), loop);
  bool thrown = false;
  try {
    co_await runtime.blocking([] { throw std::runtime_error("in the pool"); });
  } catch (const std::runtime_error& e) {
    thrown = std::string(e.what()) == "in the pool";
  }
  EXPECT_TRUE(thrown);
}

TEST(Runtime, BlockingRunsOnThePoolAndComesBack) {
  Runtime runtime(2);
  runtime.run(blocks(runtime, std::this_thread::get_id()));
}

Task<> times_out() {
  const auto begin = Clock::now();
  EXPECT_EQ(co_await with_timeout(value_after(5s, 1), 20ms), std::nullopt);
  EXPECT_EQ(co_await with_timeout(value_after(1ms, 7), 5s), 7);
  EXPECT_FALSE(co_await with_timeout(nap(5s), 20ms));
  EXPECT_TRUE(co_await with_timeout(nap(1ms), 5s));
  EXPECT_LT(Clock::now() - begin, 3s);
  bool thrown = false;
  try {
    co_await with_timeout(fails(), 5s);
  } catch (const std::runtime_error&) {
    thrown = true;
  }
  EXPECT_TRUE(thrown);
}

TEST(Runtime, TimeoutCancelsTheTask) {
  Runtime runtime;
  runtime.run(times_out());
}

Task<> waits_for_post(Runtime& runtime) {
  bool posted = false;
  std::thread other([&runtime, &posted] { runtime.post([&posted] { posted = true; }); });
  while (!posted) co_await yield();
  other.join();
}

TEST(Runtime, PostComesFromOtherThreads) {
  Runtime runtime;
  runtime.run(waits_for_post(runtime));
}

Task<> signalled(Runtime& runtime) {
  int got = 0;
  runtime.on_signal([&got](int number) { got = number; });
  std::raise(SIGTERM);
  while (got == 0) co_await sleep_for(1ms);
  EXPECT_EQ(got, SIGTERM);
}

TEST(Runtime, SignalsReachTheHandler) {
  Runtime runtime;
  runtime.run(signalled(runtime));
}

}  // namespace
}  // namespace mainstay::async
