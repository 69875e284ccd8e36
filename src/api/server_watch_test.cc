#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/test_server.h"
#include "api/verbs.h"
#include "api/watch_feed.h"
#include "base/status.h"
#include "base/strings.h"

namespace mainstay::api {
namespace {
namespace json = base::json;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr const char* kConfigMaps = "/api/v1/namespaces/shop/configmaps";

std::string config_map(std::string name, std::string label) {
  return R"({"metadata":{"name":")" + name + R"(","labels":{"app":")" + label + R"("}}})";
}
std::string relabel(std::string label) { return R"({"metadata":{"labels":{"app":")" + label + R"("}}})"; }

// "ADDED a" of each line.
std::vector<std::string> summary(const std::string& text) {
  std::vector<std::string> events;
  for (auto line : base::split(text, '\n')) {
    if (line.empty()) continue;
    const auto event = base::parse_json(line).value();
    events.push_back(base::get_string(event, "type") + " " + base::get_string(event, "object.metadata.name"));
  }
  return events;
}

async::Task<std::string> next(WatchFeed* feed) {
  auto event = co_await feed->next();
  if (!event) co_return "end";
  co_return std::string(to_string(event->type)) + " " + base::get_string(*event->object, "metadata.name");
}

std::unique_ptr<WatchFeed> feed_of(TestServer& t, std::string labels, std::string version, std::string ns = "shop") {
  FeedOptions options;
  options.ns = std::move(ns);
  options.labels = base::LabelSelector::parse(labels).value();
  options.resource_version = std::move(version);
  return std::make_unique<WatchFeed>(*t.server->types().find("", "v1", "configmaps"), *t.store, std::move(options));
}

TEST(WatchTest, StreamsWhatIsThereAndThenChanges) {
  TestServer t;
  t.run([&]() -> async::Task<> {
    co_await t.must("POST", kConfigMaps, config_map("a", "x"));
    auto feed = feed_of(t, "", "");
    EXPECT_EQ(co_await next(feed.get()), "ADDED a");
    co_await t.must("POST", kConfigMaps, config_map("b", "x"));
    co_await t.must("POST", "/api/v1/namespaces/default/configmaps", config_map("elsewhere", "x"));
    co_await t.must("PATCH", std::string(kConfigMaps) + "/a", relabel("y"), "application/merge-patch+json");
    co_await t.must("DELETE", std::string(kConfigMaps) + "/b");
    EXPECT_EQ(co_await next(feed.get()), "ADDED b");
    EXPECT_EQ(co_await next(feed.get()), "MODIFIED a");
    EXPECT_EQ(co_await next(feed.get()), "DELETED b");
  });
}

TEST(WatchTest, ObjectsMoveInAndOutOfASelection) {
  TestServer t;
  t.run([&]() -> async::Task<> {
    co_await t.must("POST", kConfigMaps, config_map("a", "no"));
    auto feed = feed_of(t, "app=yes", "");
    co_await t.must("PATCH", std::string(kConfigMaps) + "/a", relabel("yes"), "application/merge-patch+json");
    co_await t.must("PATCH", std::string(kConfigMaps) + "/a", R"({"data":{"k":"v"}})", "application/merge-patch+json");
    const auto moved =
        co_await t.must("PATCH", std::string(kConfigMaps) + "/a", relabel("no"), "application/merge-patch+json");
    co_await t.must("DELETE", std::string(kConfigMaps) + "/a");
    co_await t.must("POST", kConfigMaps, config_map("b", "yes"));
    EXPECT_EQ(co_await next(feed.get()), "ADDED a");
    EXPECT_EQ(co_await next(feed.get()), "MODIFIED a");
    auto left = co_await feed->next();
    EXPECT_EQ(left->type, WatchType::kDeleted);
    // The last state within the selection, with the revision of the move.
    EXPECT_EQ(base::label(*left->object, "app"), "yes");
    EXPECT_EQ(base::get_string(*left->object, "metadata.resourceVersion"),
              base::get_string(moved, "metadata.resourceVersion"));
    EXPECT_EQ(base::parse_json(*left->bytes).value(), *left->object);
    EXPECT_EQ(co_await next(feed.get()), "ADDED b");
  });
}

TEST(WatchTest, ResumesFromAVersion) {
  TestServer t;
  t.run([&]() -> async::Task<> {
    const auto first = co_await t.must("POST", kConfigMaps, config_map("a", "x"));
    co_await t.must("POST", kConfigMaps, config_map("b", "x"));
    auto feed = feed_of(t, "", base::get_string(first, "metadata.resourceVersion"));
    EXPECT_EQ(co_await next(feed.get()), "ADDED b");
    for (const char* bad : {"x", "-1", "1.5"}) {
      try {
        feed_of(t, "", bad);
        ADD_FAILURE() << bad;
      } catch (const base::StatusError& e) {
        EXPECT_EQ(e.code(), 400);
      }
    }
    try {
      feed_of(t, "", "99999999");
      ADD_FAILURE();
    } catch (const base::StatusError& e) {
      EXPECT_TRUE(e.is_gone());
    }
  });
}

TEST(WatchTest, HttpStreamEndsAtItsTime) {
  TestServer t;
  t.run([&]() -> async::Task<> {
    co_await t.must("POST", kConfigMaps, config_map("a", "x"));
    co_await t.must("POST", kConfigMaps, config_map("b", "y"));
    const UserInfo root = TestServer::master();
    const auto begun = std::chrono::steady_clock::now();
    auto answer =
        co_await t.call(root, "GET", std::string(kConfigMaps) + "?watch=true&timeoutSeconds=1&labelSelector=app%3Dx");
    EXPECT_EQ(answer.status, 200);
    EXPECT_THAT(summary(answer.text), ElementsAre("ADDED a"));
    EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(3));
    auto table = co_await t.call(root, "GET", std::string(kConfigMaps) + "?watch=true&timeoutSeconds=1", "", "",
                                 "application/json;as=Table;v=v1;g=meta.k8s.io,application/json");
    EXPECT_THAT(table.text, HasSubstr(R"("kind":"Table")"));
    auto initial =
        co_await t.call(root, "GET",
                        std::string(kConfigMaps) +
                            "?watch=true&timeoutSeconds=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"
                            "&allowWatchBookmarks=true");
    EXPECT_THAT(summary(initial.text), ElementsAre("ADDED a", "ADDED b", "BOOKMARK "));
    EXPECT_THAT(initial.text, HasSubstr("k8s.io/initial-events-end"));
    auto old = co_await t.call(root, "GET",
                               std::string(kConfigMaps) + "?watch=true&timeoutSeconds=1&resourceVersion=99999999");
    EXPECT_EQ(old.status, 200);
    const auto error = base::parse_json(old.text).value();
    EXPECT_EQ(base::get_string(error, "type"), "ERROR");
    EXPECT_EQ(base::get_int(error, "object.code"), 410);
    auto denied = co_await t.call(TestServer::user("ann"), "GET", std::string(kConfigMaps) + "?watch=true");
    EXPECT_EQ(denied.status, 403);
  });
}

TEST(WatchTest, InProcessListsShareRecords) {
  TestServer t;
  t.run([&]() -> async::Task<> {
    co_await t.must("POST", kConfigMaps, config_map("a", "x"));
    Collection which{"", "v1", "configmaps", "shop", "", "", "", "", 0};
    auto list = co_await t.server->list_as(TestServer::master(), which);
    EXPECT_EQ(list.items.at(0), t.store->get({"", "configmaps", "shop", "a"}));
    bool denied = false;
    try {
      co_await t.server->list_as(TestServer::user("ann"), which);
    } catch (const base::StatusError& e) {
      denied = e.code() == 403;
    }
    EXPECT_TRUE(denied);
    which.resource_version = std::to_string(list.revision);
    auto feed = co_await t.server->watch_as(TestServer::master(), which);
    co_await t.must("DELETE", std::string(kConfigMaps) + "/a");
    EXPECT_EQ(co_await next(feed.get()), "DELETED a");
  });
}

}  // namespace
}  // namespace mainstay::api
