// A dialect that keeps nothing: for tests of what stands on Backend, and as the simplest reading of the contract.
#include <map>

#include "store/backend.h"

namespace mainstay::store {
namespace {

class Memory final : public Dialect {
 public:
  base::Result<std::int64_t> load(const std::function<void(Row)>& row) override {
    for (const auto& [key, kept] : rows_) row({key, kept.first, kept.second});
    return revision_;
  }

  base::Result<> commit(const std::vector<Write>& batch) override {
    for (const Write& write : batch) {
      if (write.value) {
        rows_[write.key] = {write.revision, *write.value};
      } else {
        rows_.erase(write.key);
      }
      revision_ = write.revision;
    }
    return {};
  }

 private:
  std::map<Key, std::pair<std::int64_t, std::string>> rows_;
  std::int64_t revision_ = 0;
};

}  // namespace

std::unique_ptr<Dialect> open_memory() { return std::make_unique<Memory>(); }

}  // namespace mainstay::store
