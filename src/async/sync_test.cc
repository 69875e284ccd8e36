#include "async/sync.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "async/runtime.h"

namespace mainstay::async {
namespace {

using namespace std::chrono_literals;

Task<> waits(std::shared_ptr<Event> event, std::shared_ptr<int> woken) {
  co_await event->wait();
  ++*woken;
}

Task<> notifies(Executor executor) {
  auto event = std::make_shared<Event>(executor);
  auto woken = std::make_shared<int>(0);
  event->notify_all();  // nobody waits: not remembered
  TaskGroup group(executor, "test");
  for (int i = 0; i < 3; ++i) group.spawn("wait", waits(event, woken));
  co_await sleep_for(1ms);
  EXPECT_EQ(*woken, 0);
  event->notify_all();
  co_await group.join();
  EXPECT_EQ(*woken, 3);
  EXPECT_FALSE(co_await event->wait_for(1ms));
  EXPECT_FALSE(co_await event->wait_for(-1ms));
}

TEST(Event, NotifyWakesAllWhoWait) {
  Runtime runtime;
  runtime.run(notifies(runtime.executor()));
}

Task<> event_goes(Executor executor) {
  auto woken = std::make_shared<int>(0);
  TaskGroup group(executor, "test");
  struct Waiter {
    static Task<> run(Event* event, std::shared_ptr<int> w) {
      co_await event->wait();
      ++*w;
    }
  };
  {
    Event event(executor);
    group.spawn("wait", Waiter::run(&event, woken));
    co_await sleep_for(1ms);
  }
  co_await group.join();
  EXPECT_EQ(*woken, 0);
}

TEST(Event, WaitEndsAsCancelledWhenTheEventGoes) {
  Runtime runtime;
  runtime.run(event_goes(runtime.executor()));
}

Task<> produces(std::shared_ptr<Channel<int>> channel, int n) {
  for (int i = 0; i < n; ++i) {
    if (!co_await channel->push(i)) co_return;
  }
  channel->close();
}

Task<> passes_values(Executor executor) {
  auto channel = std::make_shared<Channel<int>>(executor, 2);
  TaskGroup group(executor, "test");
  group.spawn("produce", produces(channel, 100));
  std::vector<int> got;
  while (auto value = co_await channel->pop()) {
    EXPECT_LE(channel->size(), 2u);
    got.push_back(*value);
  }
  co_await group.join();
  EXPECT_EQ(got.size(), 100u);
  EXPECT_TRUE(std::is_sorted(got.begin(), got.end()));
  EXPECT_FALSE(channel->try_push(1));
  EXPECT_FALSE(co_await channel->push(1));
}

TEST(Channel, BoundsItsProducerAndDrainsAfterClose) {
  Runtime runtime;
  runtime.run(passes_values(runtime.executor()));
}

}  // namespace
}  // namespace mainstay::async
