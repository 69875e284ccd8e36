#include "platform/master_key.h"

#include "base/files.h"
#include "base/log.h"
#include "base/strings.h"

namespace mainstay::platform {
namespace {

using Count = base::Result<std::size_t>;

// One at a time; also when the work throws.
struct Busy {
  explicit Busy(bool& flag) : flag_(flag) { flag_ = true; }
  ~Busy() { flag_ = false; }
  Busy(const Busy&) = delete;
  bool& flag_;
};

}  // namespace

base::Result<crypto::Sealer> open_sealer(const base::Config& config) {
  std::optional<std::string> passphrase;
  if (!config.master_passphrase_file.empty()) {
    auto text = base::read_file(config.master_passphrase_file, 4096);
    if (!text) return base::fail(text.error().code, "--master-passphrase-file: " + text.error().message);
    passphrase = std::string(base::trim(*text));
  }
  return crypto::Sealer::open(config.dir("keys") / "master.key", passphrase);
}

async::Task<Count> ObjectsMasterKey::rotate() {
  if (busy_) co_return base::fail(base::ErrorCode::kConflict, "the master key is being changed already");
  {
    const Busy busy(busy_);
    auto rotated = co_await runtime_.blocking([sealer = sealer_]() mutable { return sealer.rotate(); });
    if (!rotated) co_return std::unexpected(rotated.error());
  }
  co_return co_await rewrap();
}

// An object is written again as it is: the store seals it under the newest key. A write by somebody else meanwhile has
// done the same.
async::Task<Count> ObjectsMasterKey::rewrap() {
  if (busy_) co_return base::fail(base::ErrorCode::kConflict, "the master key is being changed already");
  const Busy busy(busy_);
  std::size_t done = 0;
  for (const api::Type* type : api_.types().all()) {
    if (!type->sealed || !type->stored()) continue;
    for (const store::RecordPtr& record : store_.list(type->group, type->plural)) {
      auto put = co_await store_.put(record->key, *record->object, record->revision);
      if (put) {
        ++done;
      } else if (put.error().code != base::ErrorCode::kConflict && put.error().code != base::ErrorCode::kNotFound) {
        co_return std::unexpected(put.error());
      }
    }
  }
  for (const auto& more : more_) {
    auto count = co_await more();
    if (!count) co_return std::unexpected(count.error());
    done += *count;
  }
  auto ended = co_await runtime_.blocking([sealer = sealer_]() mutable { return sealer.rewrap_done(); });
  if (!ended) co_return std::unexpected(ended.error());
  co_return done;
}

async::Task<> finish_rewrap(std::shared_ptr<ObjectsMasterKey> key) {
  const auto done = co_await key->rewrap();
  if (done)
    base::log::info("platform", "the change of the master key that was broken off is complete: {} values", *done);
  else
    base::log::error("platform", "the change of the master key is not complete: {}; `mainstay secret rewrap` goes on",
                     done.error().message);
}

}  // namespace mainstay::platform
