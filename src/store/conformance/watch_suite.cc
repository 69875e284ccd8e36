#include "store/conformance/suite.h"

namespace mainstay::store {
namespace {

using namespace std::chrono_literals;
using base::ErrorCode;

// The next change, which must be there.
async::Task<Change> next(Watch& watch) {
  auto result = co_await watch.next(5s);
  if (result && *result) co_return **result;
  ADD_FAILURE() << (result ? "no change came" : result.error().message);
  auto nothing = std::make_shared<Record>();
  nothing->object = std::make_shared<const base::json::value>();
  co_return Change{Change::Type::kPut, nothing, nullptr, 0};
}

TEST_P(BackendSuite, WatchGivesChangesInOrder) {
  run([](Backend& backend) -> async::Task<> {
    CO_ASSERT(co_await backend.put(pod("before"), object("before"), std::nullopt));
    auto opened = backend.watch("", "pods", backend.revision());
    CO_ASSERT(opened);
    Watch& watch = **opened;
    auto made = co_await backend.put(pod("web"), object("web", "1"), std::nullopt);
    CO_ASSERT(made);
    CO_ASSERT(co_await backend.put(Key{"apps", "deployments", "shop", "d"}, object("d"), std::nullopt));
    CO_ASSERT(co_await backend.put(pod("web"), object("web", "2"), (*made)->revision));
    CO_ASSERT(co_await backend.remove(pod("web"), 0));

    const Change created = co_await next(watch);
    EXPECT_EQ(created.type, Change::Type::kPut);
    EXPECT_EQ(created.record, *made) << "records are shared, not copied";
    EXPECT_EQ(created.previous, nullptr);
    EXPECT_EQ(watch.revision(), 2);
    const Change changed = co_await next(watch);
    EXPECT_EQ(changed.previous, *made);
    EXPECT_EQ(changed.revision, 4);
    const Change removed = co_await next(watch);
    EXPECT_EQ(removed.type, Change::Type::kDelete);
    EXPECT_EQ(removed.revision, 5);
    EXPECT_EQ(removed.record->revision, 5);
    EXPECT_EQ(base::get_string(*removed.record->object, "data"), "2");
    EXPECT_EQ(removed.previous, changed.record);
  });
}

TEST_P(BackendSuite, WatchFromAnEarlierRevision) {
  run([](Backend& backend) -> async::Task<> {
    for (int i = 1; i <= 10; ++i)
      CO_ASSERT(co_await backend.put(pod(fmt::format("p{:02}", i)), object("p"), std::nullopt));
    for (std::int64_t from : {0, 3, 9}) {
      auto watch = backend.watch("", "pods", from);
      CO_ASSERT(watch);
      for (std::int64_t r = from + 1; r <= 10; ++r) EXPECT_EQ((co_await next(**watch)).revision, r);
      auto quiet = co_await (*watch)->next(0ns);
      CO_ASSERT(quiet);
      EXPECT_FALSE(*quiet);
    }
    EXPECT_EQ(code_of(backend.watch("", "pods", 11)), ErrorCode::kNotFound);
  });
}

TEST_P(BackendSuite, AQuietWatchStillMovesItsRevision) {
  run([](Backend& backend) -> async::Task<> {
    auto watch = backend.watch("", "pods", 0);
    CO_ASSERT(watch);
    for (int i = 0; i < 3; ++i)
      CO_ASSERT(co_await backend.put(Key{"", "nodes", "", fmt::format("n{}", i)}, object("n"), std::nullopt));
    const auto begin = std::chrono::steady_clock::now();
    auto quiet = co_await (*watch)->next(30ms);
    CO_ASSERT(quiet);
    EXPECT_FALSE(*quiet);
    EXPECT_GE(std::chrono::steady_clock::now() - begin, 25ms);
    EXPECT_EQ((*watch)->revision(), 3);
    // A bookmark of that revision is a good place to begin again.
    EXPECT_TRUE(backend.watch("", "pods", (*watch)->revision()));
  });
}

async::Task<> collect(std::unique_ptr<Watch> watch, std::size_t count, std::vector<Change>* into) {
  while (into->size() < count) into->push_back(co_await next(*watch));
}

TEST_P(BackendSuite, ManyWatchesWakeAndShareRecords) {
  std::vector<std::vector<Change>> seen(20);
  run([&](Backend& backend) -> async::Task<> {
    async::TaskGroup group(runtime_->executor(), "test");
    for (auto& into : seen) {
      auto watch = backend.watch("", "pods", 0);
      CO_ASSERT(watch);
      group.spawn("watch", collect(*std::move(watch), 10, &into));
    }
    for (int i = 0; i < 10; ++i) {
      co_await async::sleep_for(1ms);
      CO_ASSERT(co_await backend.put(pod(fmt::format("p{}", i)), object("p"), std::nullopt));
    }
    co_await group.join();
    for (const auto& changes : seen)
      for (std::size_t i = 0; i < changes.size(); ++i) EXPECT_EQ(changes[i].record, seen[0][i].record);
  });
}

TEST_P(BackendSuite, TooOld) {
  limits_.history_changes = 4;
  run([](Backend& backend) -> async::Task<> {
    auto slow = backend.watch("", "pods", 0);
    CO_ASSERT(slow);
    for (int i = 0; i < 10; ++i) CO_ASSERT(co_await backend.put(pod(fmt::format("p{}", i)), object("p"), std::nullopt));
    EXPECT_EQ(code_of(backend.watch("", "pods", 5)), ErrorCode::kNotFound);
    EXPECT_TRUE(backend.watch("", "pods", 6));
    EXPECT_EQ(code_of(co_await (*slow)->next(0ns)), ErrorCode::kExhausted);
    // Another resource's history is its own.
    EXPECT_TRUE(backend.watch("", "nodes", 0));
  });
}

TEST_P(BackendSuite, HistoryIsBoundedInBytes) {
  limits_.history_bytes = 64u << 10;
  run([](Backend& backend) -> async::Task<> {
    const std::string data(10u << 10, 'x');
    for (int i = 0; i < 10; ++i)
      CO_ASSERT(co_await backend.put(pod(fmt::format("p{}", i)), object("p", data), std::nullopt));
    EXPECT_EQ(code_of(backend.watch("", "pods", 2)), ErrorCode::kNotFound);
    EXPECT_TRUE(backend.watch("", "pods", 5));
    // One change over the bound is kept all the same: a watch that reads along misses nothing.
    auto watch = backend.watch("", "pods", backend.revision());
    CO_ASSERT(watch);
    CO_ASSERT(co_await backend.put(pod("huge"), object("p", std::string(100u << 10, 'y')), std::nullopt));
    EXPECT_EQ((co_await next(**watch)).record->key.name, "huge");
  });
}

TEST_P(BackendSuite, AWatchGoesOnAfterARestart) {
  run([](Backend& backend) -> async::Task<> {
    auto web = co_await backend.put(pod("web"), object("web", "1"), std::nullopt);  // 1
    CO_ASSERT(web);
    CO_ASSERT(co_await backend.put(pod("db"), object("db"), std::nullopt));                    // 2
    CO_ASSERT(co_await backend.put(pod("web"), object("web", "2"), (*web)->revision));         // 3
    CO_ASSERT(co_await backend.put(pod("gone"), object("gone", "last words"), std::nullopt));  // 4
    CO_ASSERT(co_await backend.remove(pod("gone"), 0));                                        // 5
  });
  run([](Backend& backend) -> async::Task<> {
    auto watch = backend.watch("", "pods", 1);
    CO_ASSERT(watch);
    CO_ASSERT(co_await backend.put(pod("new"), object("new"), std::nullopt));
    const Change db = co_await next(**watch), web = co_await next(**watch), gone = co_await next(**watch);
    EXPECT_EQ(db.revision, 2);
    EXPECT_EQ(web.revision, 3);
    EXPECT_EQ(base::get_string(*web.record->object, "data"), "2");
    EXPECT_EQ(web.previous, web.record) << "what was before is not known";
    EXPECT_EQ(gone.type, Change::Type::kDelete);
    EXPECT_EQ(gone.revision, 5);
    EXPECT_EQ(base::get_string(*gone.record->object, "data"), "last words");
    EXPECT_EQ((co_await next(**watch)).record->key.name, "new");
    // Who must know what was before cannot go on there, and can where nothing had changed.
    EXPECT_EQ(code_of(backend.watch("", "pods", 4, true)), ErrorCode::kNotFound);
    EXPECT_TRUE(backend.watch("", "pods", 5, true));
    EXPECT_TRUE(backend.watch("", "nodes", 0, true));
  });
}

TEST_P(BackendSuite, NothingIsKeptOfADeletedSecret) {
  seal_.applies = [](const Key& key) { return key.resource == "secrets"; };
  seal_.seal = [](std::string_view plain, const Key&) { return "sealed:" + std::string(plain.rbegin(), plain.rend()); };
  seal_.unseal = [](std::string_view sealed, const Key&) -> base::Result<std::string> {
    return std::string(sealed.rbegin(), sealed.rend() - 7);
  };
  const Key key{"", "secrets", "shop", "s"};
  run([&](Backend& backend) -> async::Task<> {
    CO_ASSERT(co_await backend.put(key, object("s", "hunter2"), std::nullopt));
    CO_ASSERT(co_await backend.remove(key, 0));
    for (const std::string& value : faults_->values) EXPECT_EQ(value.find("hunter2"), std::string::npos);
    EXPECT_EQ(faults_->values.back(), "") << "not sealed either";
  });
  run([&](Backend& backend) -> async::Task<> {
    EXPECT_EQ(code_of(backend.watch("", "secrets", 1)), ErrorCode::kNotFound);
    EXPECT_TRUE(backend.watch("", "secrets", 2));
    EXPECT_TRUE(backend.watch("", "pods", 1));
    co_return;
  });
}

async::Task<> expect_end(std::unique_ptr<Watch> watch, bool* ended) {
  EXPECT_EQ(code_of(co_await watch->next(10s)), ErrorCode::kUnavailable);
  *ended = true;
}

TEST_P(BackendSuite, StopEndsWatchesAndWrites) {
  run([&](Backend& backend) -> async::Task<> {
    bool ended = false;
    async::TaskGroup group(runtime_->executor(), "test");
    auto watch = backend.watch("", "pods", 0);
    CO_ASSERT(watch);
    group.spawn("watch", expect_end(*std::move(watch), &ended));
    co_await async::sleep_for(1ms);
    co_await backend.stop();
    co_await group.join();
    EXPECT_TRUE(ended);
    EXPECT_EQ(code_of(co_await backend.put(pod("x"), object("x"), std::nullopt)), ErrorCode::kUnavailable);
    EXPECT_EQ(code_of(co_await backend.remove(pod("x"), 0)), ErrorCode::kUnavailable);
    EXPECT_EQ(code_of(backend.watch("", "pods", 0)), ErrorCode::kUnavailable);
  });
}

}  // namespace
}  // namespace mainstay::store
