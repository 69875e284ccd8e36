// A dialect that keeps nothing: for tests of what stands on Backend, and as the simplest reading of the contract.
#include <map>

#include "store/backend.h"

namespace mainstay::store {
namespace {

class Memory final : public Dialect {
 public:
  base::Result<Loaded> load(const std::function<void(Row)>& row,
                            const std::function<void(Deletion)>& deletion) override {
    for (const auto& [key, kept] : rows_) row({key, kept.first, kept.second});
    for (const Deletion& one : deletions_) deletion(one);
    return Loaded{revision_, 0};
  }

  base::Result<> commit(const std::vector<Write>& batch) override {
    for (const Write& write : batch) {
      if (write.value) {
        rows_[write.key] = {write.revision, *write.value};
      } else {
        rows_.erase(write.key);
        deletions_.push_back({write.key, write.revision, write.last});
      }
      revision_ = write.revision;
    }
    return {};
  }

 private:
  std::map<Key, std::pair<std::int64_t, std::string>> rows_;
  std::vector<Deletion> deletions_;
  std::int64_t revision_ = 0;
};

}  // namespace

std::unique_ptr<Dialect> open_memory() { return std::make_unique<Memory>(); }

}  // namespace mainstay::store
