#include "store/conformance/suite.h"

namespace mainstay::store {
namespace {

using namespace std::chrono_literals;
using base::ErrorCode;

struct Outcome {
  std::optional<base::Result<RecordPtr>> result;
  bool ok() const { return result && *result; }
  std::optional<ErrorCode> error() const {
    return result && !*result ? std::optional((*result).error().code) : std::nullopt;
  }
};

async::Task<> put(Backend& backend, Key key, std::optional<std::int64_t> expected, Outcome* out) {
  out->result = co_await backend.put(std::move(key), object("x", "new"), expected);
}
async::Task<> remove(Backend& backend, Key key, std::int64_t expected, Outcome* out) {
  out->result = co_await backend.remove(std::move(key), expected);
}

TEST_P(BackendSuite, AFailedCommitChangesNothing) {
  run([&](Backend& backend) -> async::Task<> {
    auto old = co_await backend.put(pod("old"), object("old", "1"), std::nullopt);
    CO_ASSERT(old);
    auto watch = backend.watch("", "pods", backend.revision());
    CO_ASSERT(watch);
    for (ErrorCode code : {ErrorCode::kExhausted, ErrorCode::kUnavailable}) {
      faults_->code = code;
      faults_->fail_next = 3;
      EXPECT_EQ(code_of(co_await backend.put(pod("new"), object("new"), std::nullopt)), code);
      EXPECT_EQ(code_of(co_await backend.put(pod("old"), object("old", "2"), (*old)->revision)), code);
      EXPECT_EQ(code_of(co_await backend.remove(pod("old"), 0)), code);
    }
    EXPECT_EQ(backend.get(pod("new")), nullptr);
    EXPECT_EQ(backend.get(pod("old")), *old);
    EXPECT_EQ(backend.revision(), 1);
    auto quiet = co_await (*watch)->next(0ns);
    CO_ASSERT(quiet);
    EXPECT_FALSE(*quiet);
    // There is room again: the same writes work, and revisions still only grow.
    auto made = co_await backend.put(pod("new"), object("new"), std::nullopt);
    CO_ASSERT(made);
    EXPECT_GT((*made)->revision, 1);
    EXPECT_TRUE(co_await backend.put(pod("old"), object("old", "2"), (*old)->revision));
    auto change = co_await (*watch)->next(1s);
    CO_ASSERT(change && *change);
    EXPECT_EQ((*change)->record, *made);
  });
  run([&](Backend& backend) -> async::Task<> {
    EXPECT_EQ(names(backend.list("", "pods")), (std::vector<std::string>{"shop/new", "shop/old"}));
    co_return;
  });
}

TEST_P(BackendSuite, AThrowingDialectIsAFailedCommit) {
  run([&](Backend& backend) -> async::Task<> {
    faults_->throws = true;
    faults_->fail_next = 1;
    EXPECT_EQ(code_of(co_await backend.put(pod("new"), object("new"), std::nullopt)), ErrorCode::kInternal);
    EXPECT_TRUE(co_await backend.put(pod("new"), object("new"), std::nullopt));
  });
}

TEST_P(BackendSuite, NothingIsVisibleBeforeItIsDurable) {
  run([&](Backend& backend) -> async::Task<> {
    Outcome created, second;
    async::TaskGroup group(runtime_->executor(), "test");
    auto watch = backend.watch("", "pods", 0);
    CO_ASSERT(watch);
    faults_->gate.lock();
    group.spawn("put", put(backend, pod("a"), std::nullopt, &created));
    co_await async::sleep_for(20ms);
    // The second create cannot be told yet: the first may still fail.
    group.spawn("put", put(backend, pod("a"), std::nullopt, &second));
    co_await async::sleep_for(20ms);
    EXPECT_FALSE(created.result || second.result);
    EXPECT_EQ(backend.get(pod("a")), nullptr);
    EXPECT_EQ(backend.list("", "pods").size(), 0u);
    EXPECT_EQ(backend.revision(), 0);
    auto quiet = co_await (*watch)->next(0ns);
    CO_ASSERT(quiet);
    EXPECT_FALSE(*quiet);
    EXPECT_EQ((*watch)->revision(), 0);
    faults_->gate.unlock();
    co_await group.join();
    EXPECT_TRUE(created.ok());
    EXPECT_EQ(second.error(), ErrorCode::kAlreadyExists);
    EXPECT_EQ(backend.revision(), 1);
  });
}

TEST_P(BackendSuite, ARefusalWaitsForTheWriteItRestsOn) {
  run([&](Backend& backend) -> async::Task<> {
    Outcome first, second;
    async::TaskGroup group(runtime_->executor(), "test");
    faults_->fail_next = 1;
    faults_->gate.lock();
    group.spawn("1", put(backend, pod("a"), std::nullopt, &first));
    group.spawn("2", put(backend, pod("a"), std::nullopt, &second));
    co_await async::sleep_for(20ms);
    faults_->gate.unlock();
    co_await group.join();
    EXPECT_EQ(first.error(), ErrorCode::kExhausted);
    EXPECT_TRUE(second.ok()) << "refused because of a write that never was";
  });
}

TEST_P(BackendSuite, WritesToOneKeyQueueUp) {
  run([&](Backend& backend) -> async::Task<> {
    Outcome created, removed, recreated;
    async::TaskGroup group(runtime_->executor(), "test");
    faults_->gate.lock();
    group.spawn("1", put(backend, pod("a"), std::nullopt, &created));
    group.spawn("2", remove(backend, pod("a"), 0, &removed));
    group.spawn("3", put(backend, pod("a"), std::nullopt, &recreated));
    co_await async::sleep_for(20ms);
    faults_->gate.unlock();
    co_await group.join();
    EXPECT_TRUE(created.ok() && removed.ok() && recreated.ok());
    EXPECT_EQ(backend.revision(), 3);
    EXPECT_EQ(backend.get(pod("a")), *recreated.result.value());
  });
}

TEST_P(BackendSuite, WritesQueuedBehindAFailureAreCheckedAgain) {
  run([&](Backend& backend) -> async::Task<> {
    auto old = co_await backend.put(pod("old"), object("old"), std::nullopt);
    CO_ASSERT(old);
    Outcome failed, failed_removal, behind_create, behind_removal, independent, replaced;
    async::TaskGroup group(runtime_->executor(), "test");
    faults_->fail_next = 1;
    faults_->gate.lock();
    group.spawn("1", put(backend, pod("a"), std::nullopt, &failed));
    co_await async::sleep_for(20ms);
    // The first is in the failing commit; these stand in the queue, resting on it or not.
    group.spawn("2", remove(backend, pod("a"), 0, &behind_create));
    group.spawn("3", put(backend, pod("b"), std::nullopt, &independent));
    group.spawn("4", put(backend, pod("old"), (*old)->revision, &replaced));
    co_await async::sleep_for(20ms);
    faults_->gate.unlock();
    co_await group.join();
    EXPECT_EQ(failed.error(), ErrorCode::kExhausted);
    EXPECT_EQ(behind_create.error(), ErrorCode::kNotFound);
    EXPECT_TRUE(independent.ok());
    EXPECT_TRUE(replaced.ok());
    EXPECT_EQ(names(backend.list("", "pods")), (std::vector<std::string>{"shop/b", "shop/old"}));

    faults_->fail_next = 1;
    faults_->gate.lock();
    group.spawn("5", remove(backend, pod("old"), 0, &failed_removal));
    co_await async::sleep_for(20ms);
    group.spawn("6", put(backend, pod("old"), std::nullopt, &behind_removal));
    co_await async::sleep_for(20ms);
    faults_->gate.unlock();
    co_await group.join();
    EXPECT_EQ(failed_removal.error(), ErrorCode::kExhausted);
    EXPECT_EQ(behind_removal.error(), ErrorCode::kAlreadyExists);
    CO_ASSERT(backend.get(pod("old")));
  });
}

TEST_P(BackendSuite, TheQueueIsBounded) {
  limits_.queue_writes = 3;
  run([&](Backend& backend) -> async::Task<> {
    std::vector<Outcome> outcomes(6);
    async::TaskGroup group(runtime_->executor(), "test");
    faults_->gate.lock();
    for (std::size_t i = 0; i < outcomes.size(); ++i) {
      group.spawn("put", put(backend, pod(fmt::format("p{}", i)), std::nullopt, &outcomes[i]));
      co_await async::sleep_for(10ms);
    }
    EXPECT_EQ(outcomes[4].error(), ErrorCode::kUnavailable);  // one in the commit, three wait
    EXPECT_EQ(outcomes[5].error(), ErrorCode::kUnavailable);
    faults_->gate.unlock();
    co_await group.join();
    for (int i = 0; i < 4; ++i) EXPECT_TRUE(outcomes[static_cast<std::size_t>(i)].ok()) << i;
    EXPECT_TRUE(co_await backend.put(pod("later"), object("later"), std::nullopt));
  });
}

TEST_P(BackendSuite, StopWaitsForWhatIsQueued) {
  Outcome first, second;
  run([&](Backend& backend) -> async::Task<> {
    async::TaskGroup group(runtime_->executor(), "test");
    faults_->gate.lock();
    group.spawn("1", put(backend, pod("a"), std::nullopt, &first));
    co_await async::sleep_for(10ms);
    group.spawn("2", put(backend, pod("b"), std::nullopt, &second));
    co_await async::sleep_for(10ms);
    faults_->gate.unlock();
    co_await backend.stop();
    co_await group.join();
  });
  EXPECT_TRUE(first.ok() && second.ok());
}

}  // namespace
}  // namespace mainstay::store
