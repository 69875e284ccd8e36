#include "reconcile/controller.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/test_server.h"
#include "base/status.h"
#include "client/in_process.h"
#include "reconcile/queue.h"

namespace mainstay::reconcile {
namespace {
using client::resources::kConfigMaps;
using client::resources::kDeployments;
using client::resources::kLeases;
using std::chrono::milliseconds;

template <class F>
void on_loop(F f) {
  async::Runtime runtime(1);
  std::function<async::Task<>()> body = [&]() -> async::Task<> { co_await f(runtime); };
  runtime.run(body());
}

TEST(WorkQueueTest, HoldsEachKeyOnce) {
  std::function<async::Task<>(async::Runtime&)> body = [](async::Runtime& runtime) -> async::Task<> {
    WorkQueue<std::string> queue(runtime.executor());
    for (const char* key : {"a", "b", "a", "a"}) queue.add(key);
    EXPECT_EQ(queue.depth(), 2u);
    EXPECT_EQ(co_await queue.next(), "a");
    queue.add("a");  // while it is worked on
    queue.add("a");
    EXPECT_EQ(co_await queue.next(), "b");
    EXPECT_EQ(queue.depth(), 0u);
    queue.done("b");
    queue.done("a");
    EXPECT_EQ(queue.depth(), 1u);
    EXPECT_EQ(co_await queue.next(), "a");
    queue.done("a");
    EXPECT_TRUE(queue.idle());
  };
  on_loop(body);
}

TEST(WorkQueueTest, TheEarlierTimeWins) {
  std::function<async::Task<>(async::Runtime&)> body = [](async::Runtime& runtime) -> async::Task<> {
    WorkQueue<std::string> queue(runtime.executor());
    const auto begun = std::chrono::steady_clock::now();
    queue.add_after("slow", milliseconds(60));
    queue.add_after("a", std::chrono::hours(1));
    queue.add_after("a", milliseconds(20));
    queue.add_after("a", std::chrono::hours(2));
    EXPECT_EQ(co_await queue.next(), "a");
    EXPECT_GE(std::chrono::steady_clock::now() - begun, milliseconds(20));
    EXPECT_EQ(co_await queue.next(), "slow");
    EXPECT_GE(std::chrono::steady_clock::now() - begun, milliseconds(60));
    EXPECT_EQ(queue.delayed(), 0u);
  };
  on_loop(body);
}

TEST(WorkQueueTest, BacksOff) {
  std::function<async::Task<>(async::Runtime&)> body = [](async::Runtime& runtime) -> async::Task<> {
    WorkQueue<std::string> queue(runtime.executor());
    const auto begun = std::chrono::steady_clock::now();
    for (int i = 1; i <= 4; ++i) {
      EXPECT_EQ(queue.add_failed("a"), i);
      EXPECT_EQ(co_await queue.next(), "a");
      queue.done("a");
    }
    EXPECT_GE(std::chrono::steady_clock::now() - begun, milliseconds(5 + 10 + 20 + 40));
    queue.forget_failures("a");
    EXPECT_EQ(queue.add_failed("a"), 1);
    for (int i = 0; i < 100; ++i) queue.add_failed("b");  // no overflow
    EXPECT_LE(queue.delayed(), 2u);
  };
  on_loop(body);
}

json::value config_map(std::string name) {
  return json::object{{"metadata", json::object{{"name", name}}}, {"data", json::object{{"k", "1"}}}};
}

struct ControllerTest : testing::Test {
  api::TestServer t;
  client::ApiClient client{client::in_process_transport(*t.server, api::TestServer::master()), "tester"};
  std::vector<std::string> passes;

  // Runs `body` beside a controller, then stops it.
  void with(ControllerOptions options, Reconcile reconcile, std::function<async::Task<>(Controller&)> body) {
    t.run([&]() -> async::Task<> {
      async::TaskGroup group(t.runtime.executor(), "test");
      client::Caches caches(group, client);
      Controller controller(group, caches, options, reconcile, t.metrics);
      controller.start();
      co_await body(controller);
      group.cancel();
      co_await group.join();
    });
  }
  async::Task<> until(std::function<bool()> condition) {
    for (int i = 0; i < 1000 && !condition(); ++i) co_await async::sleep_for(milliseconds(5));
    EXPECT_TRUE(condition());
  }
};

TEST_F(ControllerTest, PassesForEveryChange) {
  Reconcile reconcile = [this](Name name) -> async::Task<Outcome> {
    passes.push_back(name.ns + "/" + name.name);
    co_return Outcome::done();
  };
  with({"test", kConfigMaps}, reconcile, [this](Controller& controller) -> async::Task<> {
    co_await client.create(kConfigMaps, "shop", config_map("a"));
    co_await until([this] { return passes == std::vector<std::string>{"shop/a"}; });
    co_await client.remove(kConfigMaps, "shop", "a");
    co_await until([this] { return passes.size() == 2; });
    controller.enqueue({"shop", "by-hand"});
    co_await until([this] { return passes.size() == 3 && passes.back() == "shop/by-hand"; });
  });
  EXPECT_THAT(t.metrics.scrape(),
              testing::HasSubstr("controller_runtime_reconcile_total{controller=\"test\",result=\"success\"} 3"));
}

TEST_F(ControllerTest, FollowsOwnedObjects) {
  Reconcile reconcile = [this](Name name) -> async::Task<Outcome> {
    passes.push_back(name.ns + "/" + name.name);
    co_return Outcome::done();
  };
  with({"test", kDeployments, {{kConfigMaps, owner_of_kind("Deployment")}}}, reconcile,
       [this](Controller&) -> async::Task<> {
         json::value child = config_map("child");
         json::value owner = json::object{{"apiVersion", "apps/v1"},
                                          {"kind", "Deployment"},
                                          {"metadata", json::object{{"name", "web"}, {"uid", "u"}}}};
         base::set(child, "metadata.ownerReferences", json::array{owner_reference(owner)});
         co_await client.create(kConfigMaps, "shop", child);
         co_await client.create(kConfigMaps, "shop", config_map("free"));
         co_await until([this] { return passes == std::vector<std::string>{"shop/web"}; });
       });
}

TEST_F(ControllerTest, TriesAgainAndComesBack) {
  Reconcile reconcile = [this](Name) -> async::Task<Outcome> {
    passes.push_back("pass");
    if (passes.size() <= 3) throw base::unavailable("not yet");
    if (passes.size() == 4) throw std::runtime_error("nor this");
    if (passes.size() < 8) co_return Outcome::after(milliseconds(5));
    co_return Outcome::done();
  };
  with({"test", kConfigMaps}, reconcile, [this](Controller& controller) -> async::Task<> {
    controller.enqueue({"shop", "a"});
    co_await until([this] { return passes.size() == 8; });
    co_await async::sleep_for(milliseconds(30));
    EXPECT_EQ(passes.size(), 8u);
  });
  EXPECT_THAT(t.metrics.scrape(), testing::HasSubstr("result=\"error\"} 4"));
}

TEST_F(ControllerTest, NeverTwoPassesForOneName) {
  auto under_way = std::make_shared<std::map<std::string, int>>();
  auto most = std::make_shared<int>(0);
  Reconcile reconcile = [this, under_way, most](Name name) -> async::Task<Outcome> {
    EXPECT_EQ(++(*under_way)[name.name], 1);
    *most = std::max(
        *most, static_cast<int>(std::ranges::count_if(*under_way, [](const auto& entry) { return entry.second > 0; })));
    co_await async::sleep_for(milliseconds(2));
    --(*under_way)[name.name];
    passes.push_back(name.name);
    co_return Outcome::done();
  };
  with({"test", kConfigMaps, {}, 3}, reconcile, [this](Controller& controller) -> async::Task<> {
    // All at once, so that every worker has something to do whatever the machine's speed; then again while they run.
    for (int i = 0; i < 8; ++i) controller.enqueue({"shop", std::to_string(i)});
    for (int i = 0; i < 32; ++i) {
      co_await async::sleep_for(milliseconds(1));
      controller.enqueue({"shop", std::to_string(i % 8)});
    }
    co_await until([&] { return controller.depth() == 0 && passes.size() >= 8; });
    co_await async::sleep_for(milliseconds(20));
  });
  EXPECT_EQ(*most, 3);
}

TEST_F(ControllerTest, APassCommitsStatusThenTheRest) {
  t.run([&]() -> async::Task<> {
    auto made = co_await client.create(
        kDeployments, "shop",
        json::parse(
            R"({"metadata":{"name":"web"},"spec":{"replicas":2,"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}})"));
    auto original = std::make_shared<const json::value>(made);
    Pass pass(client, kDeployments, original);
    co_await pass.commit();
    EXPECT_EQ(t.store->get({"apps", "deployments", "shop", "web"})->revision, t.store->revision());  // nothing was sent
    base::set(pass.object(), "status.replicas", 2);
    base::set(pass.object(), "spec.replicas", 3);
    pass.add_finalizer("mainstay.dev/test");
    pass.add_finalizer("mainstay.dev/test");
    pass.set_condition("Available", true, "Up", "two are up", base::real_clock());
    const auto before = t.store->revision();
    co_await pass.commit();
    EXPECT_EQ(t.store->revision(), before + 2);
    auto now = co_await client.get(kDeployments, "shop", "web");
    EXPECT_EQ(base::get_int(now, "status.replicas"), 2);
    EXPECT_EQ(base::get_int(now, "spec.replicas"), 3);
    EXPECT_TRUE(condition_true(now, "Available"));
    EXPECT_TRUE(pass.has_finalizer("mainstay.dev/test"));
    pass.remove_finalizer("mainstay.dev/test");
    co_await pass.commit();
    EXPECT_EQ(base::get_array(co_await client.get(kDeployments, "shop", "web"), "metadata.finalizers").size(), 0u);
    // Built on an old copy, it is refused.
    Pass stale(client, kDeployments, original);
    base::set(stale.object(), "spec.replicas", 9);
    bool conflict = false;
    try {
      co_await stale.commit();
    } catch (const base::StatusError& e) {
      conflict = e.is_conflict();
    }
    EXPECT_TRUE(conflict);
  });
}

TEST(ConditionTest, TheTimeTellsSinceWhen) {
  json::value object = json::object{};
  const base::SystemTime first{std::chrono::seconds(1000)}, later{std::chrono::seconds(2000)};
  set_condition(object, "Ready", "False", "Starting", "", first);
  set_condition(object, "Other", "True", "X", "", first);
  set_condition(object, "Ready", "False", "Waiting", "for the disk", later);
  const json::value* ready = find_condition(object, "Ready");
  EXPECT_EQ(base::get_string(*ready, "reason"), "Waiting");
  EXPECT_EQ(base::get_string(*ready, "lastTransitionTime"), base::rfc3339(first));
  EXPECT_FALSE(condition_true(object, "Ready"));
  set_condition(object, "Ready", "True", "Up", "", later);
  EXPECT_EQ(base::get_string(*find_condition(object, "Ready"), "lastTransitionTime"), base::rfc3339(later));
  EXPECT_TRUE(condition_true(object, "Ready"));
  EXPECT_EQ(base::get_array(object, "status.conditions").size(), 2u);
  EXPECT_EQ(find_condition(object, "Missing"), nullptr);
}

TEST_F(ControllerTest, OneLeads) {
  t.run([&]() -> async::Task<> {
    async::TaskGroup one(t.runtime.executor(), "one"), two(t.runtime.executor(), "two");
    std::string leader;
    auto lead_as = [&](std::string who) {
      return std::function<async::Task<>()>([&leader, who]() -> async::Task<> {
        leader = who;
        co_await async::sleep_for(std::chrono::hours(1));
      });
    };
    one.spawn("one", run_as_leader(client, "default", "test", "one", base::real_clock(), lead_as("one")));
    co_await until([&] { return leader == "one"; });
    two.spawn("two", run_as_leader(client, "default", "test", "two", base::real_clock(), lead_as("two")));
    co_await async::sleep_for(milliseconds(50));
    EXPECT_EQ(leader, "one");
    EXPECT_EQ(base::get_string(co_await client.get(kLeases, "default", "test"), "spec.holderIdentity"), "one");
    one.cancel();
    co_await one.join();
    co_await client.merge_patch(kLeases, "default", "test",
                                json::object{{"spec", json::object{{"holderIdentity", ""}}}});
    co_await until([&] { return leader == "two"; });
    two.cancel();
    co_await two.join();
  });
}

}  // namespace
}  // namespace mainstay::reconcile
