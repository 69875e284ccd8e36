#include "client/cache.h"

#include <gtest/gtest.h>

#include "api/test_server.h"
#include "client/in_process.h"

namespace mainstay::client {
namespace {
using resources::kConfigMaps;

json::value config_map(std::string name, std::string value = "1") {
  return json::object{{"metadata", json::object{{"name", name}}}, {"data", json::object{{"k", value}}}};
}

std::string version_of(const json::value& object) { return base::get_string(object, "metadata.resourceVersion"); }

async::Task<> run_cache(std::shared_ptr<Cache> cache) { co_await cache->run(); }

// The in-process transport with a switch for each thing that can go wrong.
class FlakyTransport final : public Transport {
 public:
  FlakyTransport(std::shared_ptr<Transport> inner) : inner_(std::move(inner)) {}
  async::Task<base::Result<net::ClientResponse>> send(net::ClientRequest request) override {
    co_return co_await inner_->send(std::move(request));
  }
  async::Task<std::optional<ObjectList>> list_objects(Resource resource, std::string ns, ListQuery query) override {
    ++lists;
    if (fail_lists > 0) {
      --fail_lists;
      throw base::unavailable("the server is away");
    }
    co_return co_await inner_->list_objects(std::move(resource), std::move(ns), std::move(query));
  }
  async::Task<std::unique_ptr<WatchStream>> watch_objects(Resource resource, std::string ns, std::string version,
                                                          ListQuery query) override {
    versions.push_back(version);
    if (gone_watches > 0) {
      --gone_watches;
      if (before_gone) co_await before_gone();
      throw base::gone("too old");
    }
    co_return co_await inner_->watch_objects(std::move(resource), std::move(ns), std::move(version), std::move(query));
  }

  int lists = 0, fail_lists = 0, gone_watches = 0;
  std::function<async::Task<>()> before_gone;
  std::vector<std::string> versions;

 private:
  std::shared_ptr<Transport> inner_;
};

struct CacheTest : testing::Test {
  api::TestServer t;
  std::shared_ptr<FlakyTransport> transport =
      std::make_shared<FlakyTransport>(in_process_transport(*t.server, api::TestServer::master()));
  ApiClient client{transport, "tester"};
};

TEST_F(CacheTest, FollowsChangesAndSharesTheStoresObjects) {
  t.run([&]() -> async::Task<> {
    async::TaskGroup group(t.runtime.executor(), "test");
    co_await client.create(kConfigMaps, "shop", config_map("a"));
    co_await client.create(kConfigMaps, "default", config_map("b"));
    auto cache = std::make_shared<Cache>(t.runtime.executor(), client, kConfigMaps);
    EXPECT_FALSE(cache->has_synced());
    std::vector<std::string> seen;
    cache->on_change([&](const ObjectPtr& before, const ObjectPtr& after) {
      seen.push_back((before ? base::get_string(*before, "data.k") : "-") + ">" +
                     (after ? base::get_string(*after, "data.k") : "-"));
    });
    group.spawn("cache", run_cache(cache));
    co_await cache->synced();
    EXPECT_EQ(cache->list().size(), 2u);
    EXPECT_EQ(cache->list("shop").size(), 1u);
    EXPECT_EQ(cache->get("shop", "a"), t.store->get({"", "configmaps", "shop", "a"})->object);
    auto changed =
        co_await client.merge_patch(kConfigMaps, "shop", "a", json::object{{"data", json::object{{"k", "2"}}}});
    co_await cache->caught_up(version_of(changed));
    EXPECT_EQ(base::get_string(*cache->get("shop", "a"), "data.k"), "2");
    co_await client.remove(kConfigMaps, "shop", "a");
    auto last = co_await client.create(kConfigMaps, "shop", config_map("c", "3"));
    co_await cache->caught_up(version_of(last));
    EXPECT_EQ(cache->get("shop", "a"), nullptr);
    EXPECT_EQ(seen, (std::vector<std::string>{"->1", "->1", "1>2", "2>-", "->3"}));
    int late = 0;
    cache->on_change([&](const ObjectPtr&, const ObjectPtr&) { ++late; });
    EXPECT_EQ(late, 2);  // told of what is there
    EXPECT_EQ(transport->lists, 1);
    group.cancel();
    co_await group.join();
  });
}

TEST_F(CacheTest, ListsAnewWhereHistoryIsLost) {
  t.run([&]() -> async::Task<> {
    async::TaskGroup group(t.runtime.executor(), "test");
    co_await client.create(kConfigMaps, "shop", config_map("a"));
    transport->gone_watches = 1;
    transport->before_gone = [&]() -> async::Task<> {
      co_await client.remove(kConfigMaps, "shop", "a");
      co_await client.create(kConfigMaps, "shop", config_map("b"));
    };
    auto cache = std::make_shared<Cache>(t.runtime.executor(), client, kConfigMaps);
    std::vector<std::string> gone;
    cache->on_change([&](const ObjectPtr& before, const ObjectPtr& after) {
      if (!after) gone.push_back(base::get_string(*before, "metadata.name"));
      throw std::runtime_error("a handler's fault is its own");
    });
    group.spawn("cache", run_cache(cache));
    while (!cache->get("shop", "b")) co_await async::sleep_for(std::chrono::milliseconds(5));
    EXPECT_EQ(cache->get("shop", "a"), nullptr);
    EXPECT_EQ(gone, std::vector<std::string>{"a"});
    EXPECT_EQ(transport->lists, 2);
    group.cancel();
    co_await group.join();
  });
}

TEST_F(CacheTest, TriesAgainUntilTheServerIsThere) {
  t.run([&]() -> async::Task<> {
    async::TaskGroup group(t.runtime.executor(), "test");
    transport->fail_lists = 2;
    auto cache = std::make_shared<Cache>(t.runtime.executor(), client, kConfigMaps);
    group.spawn("cache", run_cache(cache));
    const bool in_time = co_await async::with_timeout(cache->synced(), std::chrono::seconds(5));
    EXPECT_TRUE(in_time);
    EXPECT_EQ(transport->lists, 3);
    group.cancel();
    co_await group.join();
  });
}

TEST_F(CacheTest, CachesAreShared) {
  t.run([&]() -> async::Task<> {
    async::TaskGroup group(t.runtime.executor(), "test");
    Caches caches(group, client);
    caches.hold();
    auto one = caches.of(kConfigMaps);
    EXPECT_EQ(one, caches.of(kConfigMaps));
    EXPECT_EQ(group.size(), 0u);
    caches.release();
    EXPECT_NE(one, caches.of(resources::kPods));
    co_await one->synced();
    group.cancel();
    co_await group.join();
  });
}

}  // namespace
}  // namespace mainstay::client
