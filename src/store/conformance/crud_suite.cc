#include <set>

#include "crypto/sealing.h"
#include "store/conformance/suite.h"

namespace mainstay::store {
namespace {

using base::ErrorCode;
namespace json = base::json;

TEST_P(BackendSuite, CreateThenGet) {
  run([](Backend& backend) -> async::Task<> {
    EXPECT_EQ(backend.get(pod("web")), nullptr);
    auto made = co_await backend.put(pod("web"), object("web"), std::nullopt);
    CO_ASSERT(made);
    const RecordPtr record = *made;
    EXPECT_EQ(record->key, pod("web"));
    EXPECT_EQ(record->revision, 1);
    EXPECT_EQ(backend.revision(), 1);
    EXPECT_EQ(base::get_string(*record->object, "metadata.resourceVersion"), "1");
    EXPECT_EQ(*base::parse_json(*record->bytes), *record->object);
    EXPECT_EQ(backend.get(pod("web")), record);
    EXPECT_EQ(backend.get(pod("web", "other")), nullptr);
    EXPECT_EQ(code_of(co_await backend.put(pod("web"), object("web"), std::nullopt)), ErrorCode::kAlreadyExists);
    EXPECT_EQ(code_of(co_await backend.put(pod("x"), json::value("no object"), std::nullopt)), ErrorCode::kInvalid);
    EXPECT_EQ(backend.revision(), 1);
  });
}

TEST_P(BackendSuite, ReplaceExactlyTheRevision) {
  run([](Backend& backend) -> async::Task<> {
    auto one = co_await backend.put(pod("web"), object("web", "1"), std::nullopt);
    CO_ASSERT(one);
    auto two = co_await backend.put(pod("web"), object("web", "2"), (*one)->revision);
    CO_ASSERT(two);
    EXPECT_GT((*two)->revision, (*one)->revision);
    EXPECT_EQ(base::get_string(*backend.get(pod("web"))->object, "data"), "2");
    EXPECT_EQ(base::get_string(*(*one)->object, "data"), "1") << "a record changed";
    EXPECT_EQ(code_of(co_await backend.put(pod("web"), object("web", "3"), (*one)->revision)), ErrorCode::kConflict);
    EXPECT_EQ(code_of(co_await backend.put(pod("no"), object("no"), (*one)->revision)), ErrorCode::kNotFound);
    EXPECT_EQ(base::get_string(*backend.get(pod("web"))->object, "data"), "2");
  });
}

TEST_P(BackendSuite, Remove) {
  run([](Backend& backend) -> async::Task<> {
    auto made = co_await backend.put(pod("web"), object("web", "x"), std::nullopt);
    CO_ASSERT(made);
    EXPECT_EQ(code_of(co_await backend.remove(pod("web"), 99)), ErrorCode::kConflict);
    auto removed = co_await backend.remove(pod("web"), (*made)->revision);
    CO_ASSERT(removed);
    EXPECT_EQ((*removed)->revision, 2);
    EXPECT_EQ(base::get_string(*(*removed)->object, "data"), "x");
    EXPECT_EQ(base::get_string(*(*removed)->object, "metadata.resourceVersion"), "2");
    EXPECT_EQ(backend.get(pod("web")), nullptr);
    EXPECT_EQ(code_of(co_await backend.remove(pod("web"), 0)), ErrorCode::kNotFound);
    CO_ASSERT(co_await backend.put(pod("web"), object("web"), std::nullopt));
    EXPECT_TRUE(co_await backend.remove(pod("web"), 0));
    EXPECT_EQ(backend.count("", "pods"), 0u);
    EXPECT_EQ(backend.revision(), 4);
  });
}

TEST_P(BackendSuite, ListsInOrderAndByNamespace) {
  run([](Backend& backend) -> async::Task<> {
    for (Key key : {pod("b", "shop"), pod("a", "shop"), pod("z", "bar"), pod("a", "shop-dev"), pod("n", ""),
                    Key{"apps", "deployments", "shop", "d"}, Key{"", "podsx", "shop", "x"}})
      CO_ASSERT(co_await backend.put(key, object(key.name), std::nullopt));
    EXPECT_EQ(names(backend.list("", "pods")),
              (std::vector<std::string>{"/n", "bar/z", "shop/a", "shop/b", "shop-dev/a"}));
    EXPECT_EQ(names(backend.list("", "pods", "shop")), (std::vector<std::string>{"shop/a", "shop/b"}));
    EXPECT_EQ(names(backend.list("", "pods", "sho")), std::vector<std::string>{});
    EXPECT_EQ(names(backend.list("apps", "deployments")), std::vector<std::string>{"shop/d"});
    EXPECT_EQ(names(backend.list("apps", "pods")), std::vector<std::string>{});
    EXPECT_EQ(backend.count("", "pods"), 5u);
    EXPECT_EQ(backend.count("", "nothing"), 0u);
  });
}

TEST_P(BackendSuite, Pagination) {
  run([](Backend& backend) -> async::Task<> {
    for (int i = 0; i < 25; ++i) {
      Key key = pod(fmt::format("p{:02}", i), i % 2 ? "odd" : "even");
      CO_ASSERT(co_await backend.put(key, object(key.name), std::nullopt));
    }
    for (const std::string ns : {"", "odd"}) {
      const auto whole = names(backend.list("", "pods", ns));
      std::vector<std::string> paged;
      std::optional<std::pair<std::string, std::string>> after;
      for (;;) {
        const auto page = backend.list("", "pods", ns, after, 4);
        EXPECT_LE(page.size(), 4u);
        if (page.empty()) break;
        for (const auto& name : names(page)) paged.push_back(name);
        after = {page.back()->key.ns, page.back()->key.name};
      }
      EXPECT_EQ(paged, whole);
    }
    // A page after something that has gone meanwhile, or lies before the namespace.
    EXPECT_TRUE(co_await backend.remove(pod("p03", "odd"), 0));
    using Place = std::pair<std::string, std::string>;
    EXPECT_EQ(names(backend.list("", "pods", "odd", Place{"odd", "p03"}, 1)), std::vector<std::string>{"odd/p05"});
    EXPECT_EQ(names(backend.list("", "pods", "odd", Place{"even", "p99"}, 1)), std::vector<std::string>{"odd/p01"});
    EXPECT_EQ(names(backend.list("", "pods", "even", Place{"odd", "p01"}, 1)), std::vector<std::string>{});
  });
}

TEST_P(BackendSuite, SurvivesARestart) {
  const std::string big(2u << 20, 'b'), odd = "quo'te \"\\ \xc3\xa9 \xf0\x9f\x90\xb3 \n";
  run([&](Backend& backend) -> async::Task<> {
    CO_ASSERT(co_await backend.put(pod("big"), object("big", big), std::nullopt));
    CO_ASSERT(co_await backend.put(pod(odd, ""), object(odd, odd), std::nullopt));
    auto made = co_await backend.put(pod("gone"), object("gone"), std::nullopt);
    CO_ASSERT(made);
    CO_ASSERT(co_await backend.put(pod("gone"), object("gone", "2"), (*made)->revision));
    CO_ASSERT(co_await backend.remove(pod("gone"), 0));
  });
  run([&](Backend& backend) -> async::Task<> {
    EXPECT_EQ(backend.revision(), 5) << "a deletion's revision was forgotten";
    CO_ASSERT(backend.get(pod("big")));
    EXPECT_EQ(base::get_string(*backend.get(pod("big"))->object, "data"), big);
    CO_ASSERT(backend.get(pod(odd, "")));
    EXPECT_EQ(backend.get(pod(odd, ""))->revision, 2);
    EXPECT_EQ(base::get_string(*backend.get(pod(odd, ""))->object, "data"), odd);
    EXPECT_EQ(backend.get(pod("gone")), nullptr);
    auto next = co_await backend.put(pod("gone"), object("gone"), std::nullopt);
    CO_ASSERT(next);
    EXPECT_EQ((*next)->revision, 6);
    EXPECT_TRUE(co_await backend.put(pod("big"), object("big"), 1));
  });
}

async::Task<> create_many(Backend& backend, int writer, int count, std::set<std::int64_t>& revisions) {
  std::int64_t last = 0;
  for (int i = 0; i < count; ++i) {
    auto made = co_await backend.put(pod(fmt::format("w{}-{}", writer, i)), object("x"), std::nullopt);
    CO_ASSERT(made);
    EXPECT_GT((*made)->revision, last);
    EXPECT_GE(backend.revision(), (*made)->revision);
    last = (*made)->revision;
    EXPECT_TRUE(revisions.insert(last).second) << "a revision was given twice";
  }
}

TEST_P(BackendSuite, ConcurrentWriters) {
  std::set<std::int64_t> revisions;
  run([&](Backend& backend) -> async::Task<> {
    async::TaskGroup group(runtime_->executor(), "test");
    for (int w = 0; w < 32; ++w) group.spawn("writer", create_many(backend, w, 40, revisions));
    co_await group.join();
    EXPECT_EQ(revisions.size(), 32u * 40);
    EXPECT_EQ(backend.count("", "pods"), 32u * 40);
    EXPECT_EQ(backend.revision(), *revisions.rbegin());
    EXPECT_LT(faults_->commits, 32 * 40 / 4) << "writes do not share commits";
  });
  run([&](Backend& backend) -> async::Task<> {
    EXPECT_EQ(backend.count("", "pods"), 32u * 40);
    co_return;
  });
}

async::Task<> increment(Backend& backend, int times) {
  while (times > 0) {
    const RecordPtr now = backend.get(pod("counter"));
    json::value next = *now->object;
    next.get_object()["data"] = base::get_int(next, "data") + 1;
    auto done = co_await backend.put(pod("counter"), std::move(next), now->revision);
    if (done) --times;
    if (!done) EXPECT_EQ(done.error().code, ErrorCode::kConflict);
  }
}

TEST_P(BackendSuite, OptimisticConcurrencyLosesNoUpdate) {
  run([&](Backend& backend) -> async::Task<> {
    json::value counter = object("counter");
    counter.get_object()["data"] = 0;
    CO_ASSERT(co_await backend.put(pod("counter"), counter, std::nullopt));
    async::TaskGroup group(runtime_->executor(), "test");
    for (int w = 0; w < 8; ++w) group.spawn("writer", increment(backend, 10));
    co_await group.join();
    EXPECT_EQ(base::get_int(*backend.get(pod("counter"))->object, "data"), 80);
  });
}

async::Task<> create_same(Backend& backend, int* won, int* lost) {
  auto made = co_await backend.put(pod("one"), object("one"), std::nullopt);
  ++*(made ? won : lost);
  if (!made) EXPECT_EQ(made.error().code, ErrorCode::kAlreadyExists);
}

TEST_P(BackendSuite, OneOfManyCreatesWins) {
  int won = 0, lost = 0;
  run([&](Backend& backend) -> async::Task<> {
    async::TaskGroup group(runtime_->executor(), "test");
    for (int w = 0; w < 10; ++w) group.spawn("writer", create_same(backend, &won, &lost));
    co_await group.join();
  });
  EXPECT_EQ(won, 1);
  EXPECT_EQ(lost, 9);
}

TEST_P(BackendSuite, SealsTheRowsOfSomeResources) {
  const crypto::Sealer sealer(std::string(32, 'k'));
  seal_.applies = [](const Key& key) { return key.resource == "secrets"; };
  seal_.seal = [&](std::string_view plain, const Key& key) { return sealer.seal(plain, key.to_string()); };
  seal_.unseal = [&](std::string_view sealed, const Key& key) { return sealer.unseal(sealed, key.to_string()); };
  const Key secret{"", "secrets", "shop", "db"};
  run([&](Backend& backend) -> async::Task<> {
    CO_ASSERT(co_await backend.put(secret, object("db", "pass-word"), std::nullopt));
    CO_ASSERT(co_await backend.put(pod("web"), object("web", "public"), std::nullopt));
    EXPECT_EQ(base::get_string(*backend.get(secret)->object, "data"), "pass-word");
  });
  ASSERT_EQ(faults_->values.size(), 2u);
  EXPECT_TRUE(crypto::Sealer::is_sealed(faults_->values[0]));
  EXPECT_EQ(faults_->values[0].find("pass-word"), std::string::npos);
  EXPECT_NE(faults_->values[1].find("public"), std::string::npos);
  run([&](Backend& backend) -> async::Task<> {
    CO_ASSERT(backend.get(secret));
    EXPECT_EQ(base::get_string(*backend.get(secret)->object, "data"), "pass-word");
    co_return;
  });
  const crypto::Sealer wrong(std::string(32, 'w'));
  seal_.unseal = [&](std::string_view sealed, const Key& key) { return wrong.unseal(sealed, key.to_string()); };
  auto loaded = try_load();
  ASSERT_FALSE(loaded);
  EXPECT_NE(loaded.error().message.find("secrets/shop/db"), std::string::npos);
}

TEST_P(BackendSuite, KeepsTheRequestsArenaOut) {
  run([](Backend& backend) -> async::Task<> {
    json::value arena(json::make_shared_resource<json::monotonic_resource>());
    arena = object("web");
    auto made = co_await backend.put(pod("web"), std::move(arena), std::nullopt);
    CO_ASSERT(made);
    EXPECT_EQ((*made)->object->storage().get(), json::storage_ptr().get());
    EXPECT_EQ((*made)->object->as_object().at("metadata").storage().get(), json::storage_ptr().get());
  });
}

TEST(StoreKey, Text) {
  EXPECT_EQ((Key{"apps", "deployments", "shop", "web"}).to_string(), "apps/deployments/shop/web");
  EXPECT_EQ((Key{"", "namespaces", "", "shop"}).to_string(), "namespaces/shop");
}

}  // namespace
}  // namespace mainstay::store
