#include "store/conformance/suite.h"

namespace mainstay::store {
namespace {

// The memory dialect forgets when it goes; here it stays, and what comes and goes is a view of it.
class MemoryHome final : public Home {
 public:
  std::unique_ptr<Dialect> open() override { return std::make_unique<View>(dialect_); }

 private:
  class View final : public Dialect {
   public:
    explicit View(std::shared_ptr<Dialect> dialect) : dialect_(std::move(dialect)) {}
    base::Result<Loaded> load(const std::function<void(Row)>& row,
                              const std::function<void(Deletion)>& deletion) override {
      return dialect_->load(row, deletion);
    }
    base::Result<> commit(const std::vector<Write>& batch) override { return dialect_->commit(batch); }

   private:
    std::shared_ptr<Dialect> dialect_;
  };
  std::shared_ptr<Dialect> dialect_ = open_memory();
};

INSTANTIATE_TEST_SUITE_P(Memory, BackendSuite,
                         testing::Values(HomeFactory{"memory", [] { return std::make_unique<MemoryHome>(); }}));

}  // namespace
}  // namespace mainstay::store
