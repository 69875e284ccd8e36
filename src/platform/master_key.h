// The master key's file and the objects sealed under it: opening, and changing the key while all goes on.
#pragma once
#include <vector>

#include "api/server.h"
#include "async/runtime.h"
#include "base/config.h"
#include "crypto/sealing.h"
#include "platform/interfaces/master_key.h"
#include "store/backend.h"

namespace mainstay::platform {

// DIR/keys/master.key, with the passphrase of config.master_passphrase_file where one is named. Blocking.
base::Result<crypto::Sealer> open_sealer(const base::Config& config);

class ObjectsMasterKey final : public MasterKey {
 public:
  ObjectsMasterKey(async::Runtime& runtime, crypto::Sealer sealer, store::Backend& store, api::Server& api)
      : runtime_(runtime), sealer_(std::move(sealer)), store_(store), api_(api) {}
  void also(std::function<async::Task<base::Result<std::size_t>>()> rewrap) override {
    more_.push_back(std::move(rewrap));
  }
  async::Task<base::Result<std::size_t>> rotate() override;
  // Wraps what is not yet under the newest key. Idempotent.
  async::Task<base::Result<std::size_t>> rewrap();

 private:
  async::Runtime& runtime_;
  crypto::Sealer sealer_;
  store::Backend& store_;
  api::Server& api_;
  std::vector<std::function<async::Task<base::Result<std::size_t>>()>> more_;
  bool busy_ = false;
};

// At start, where an earlier change did not come to its end.
async::Task<> finish_rewrap(std::shared_ptr<ObjectsMasterKey> key);

}  // namespace mainstay::platform
