// What every dialect must do under Backend. Each dialect's test instantiates BackendSuite with a Home of its own:
//   INSTANTIATE_TEST_SUITE_P(Sqlite, BackendSuite, testing::Values(HomeFactory{"sqlite", make_sqlite_home}));
#pragma once
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <mutex>

#include "store/backend.h"

namespace mainstay::store {

// Where rows stay while dialects come and go: opening it again is a restart.
class Home {
 public:
  virtual ~Home() = default;
  virtual std::unique_ptr<Dialect> open() = 0;
};
struct HomeFactory {
  std::string name;
  std::function<std::unique_ptr<Home>()> make;
};
inline void PrintTo(const HomeFactory& factory, std::ostream* out) { *out << factory.name; }

class TempFolder {
 public:
  TempFolder();
  ~TempFolder();
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// A file system of its own that goes with the object; false where the test has no right to mount.
class SmallDisk {
 public:
  SmallDisk(const std::filesystem::path& at, const std::string& size);
  ~SmallDisk();
  explicit operator bool() const { return mounted_; }

 private:
  std::filesystem::path at_;
  bool mounted_;
};

// Passes on to another dialect, and fails or waits when told to.
struct Faults {
  std::atomic<int> fail_next{0};  // commits to refuse
  std::atomic<bool> throws{false};
  std::atomic<base::ErrorCode> code{base::ErrorCode::kExhausted};
  std::mutex gate;  // a commit waits for it: lock it to hold commits back
  std::atomic<int> commits{0};
  std::vector<std::string> values;  // all that was committed, as the dialect saw it; read it when nothing is written
};
class FaultyDialect final : public Dialect {
 public:
  FaultyDialect(std::unique_ptr<Dialect> inner, std::shared_ptr<Faults> faults)
      : inner_(std::move(inner)), faults_(std::move(faults)) {}
  base::Result<Loaded> load(const std::function<void(Row)>& row,
                            const std::function<void(Deletion)>& deletion) override {
    return inner_->load(row, deletion);
  }
  base::Result<> commit(const std::vector<Write>& batch) override;

 private:
  std::unique_ptr<Dialect> inner_;
  std::shared_ptr<Faults> faults_;
};

class BackendSuite : public testing::TestWithParam<HomeFactory> {
 protected:
  using Body = std::function<async::Task<>(Backend&)>;

  // A start of the platform: opens the home, loads, runs `body` on the loop, stops. `body` outlives its coroutine.
  void run(const Body& body);
  base::Result<> try_load();

  std::unique_ptr<Home> home_ = GetParam().make();
  std::shared_ptr<Faults> faults_ = std::make_shared<Faults>();
  SealHook seal_;
  BackendLimits limits_;
  base::Metrics metrics_;
  async::Runtime* runtime_ = nullptr;  // while run() runs
};

base::json::value object(std::string_view name, std::string_view data = "");
Key pod(std::string name, std::string ns = "shop");
std::vector<std::string> names(const std::vector<RecordPtr>& records);  // "ns/name"

// The error of a result that must be one.
template <class T>
base::ErrorCode code_of(const base::Result<T>& result) {
  if (result) {
    ADD_FAILURE() << "an error was expected";
    return base::ErrorCode::kInternal;
  }
  EXPECT_FALSE(result.error().message.empty());
  return result.error().code;
}

// ASSERT_TRUE for coroutines.
#define CO_ASSERT(condition)                     \
  if (!(condition)) {                            \
    ADD_FAILURE() << "expected: " << #condition; \
    co_return;                                   \
  }

}  // namespace mainstay::store
