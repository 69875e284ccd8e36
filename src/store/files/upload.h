// Internal to store/files/: the file of an upload under way, with the digest of what it holds so far. Blocking, for the
// pool; one thread at a time (claim()).
#pragma once
#include <atomic>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "crypto/digest.h"
#include "store/files/disk.h"

namespace mainstay::store {

// Beside the data, `<id>.state` keeps the digest's state, so that going on after a restart reads only the bytes since
// it was last saved. It is believed only within the boot that wrote it: after a power cut the page cache's order is
// unknown, and the data is read again from its beginning.
class UploadFile {
 public:
  static base::Result<std::shared_ptr<UploadFile>> create(const std::filesystem::path& folder, std::string id);
  static base::Result<std::shared_ptr<UploadFile>> reopen(const std::filesystem::path& folder, std::string id);
  ~UploadFile();  // saves the state

  const std::string& id() const { return id_; }
  const std::filesystem::path& path() const { return path_; }
  std::uint64_t size() const { return size_.load(std::memory_order_acquire); }
  bool gone() const { return gone_.load(std::memory_order_acquire); }

  // At most one claim at a time; false: somebody has it. Dropped on any thread.
  bool claim() { return !claimed_.exchange(true, std::memory_order_acq_rel); }
  void unclaim() { claimed_.store(false, std::memory_order_release); }

  // All or nothing: where the disk fills up, the upload is as before and may go on later.
  base::Result<> append(std::string_view bytes);
  base::Result<std::string> digest() const;  // "sha256:…" of everything so far
  base::Result<> sync();
  void discard();   // removes the files
  void released();  // the data file now belongs to somebody else; removes the state

 private:
  UploadFile(const std::filesystem::path& folder, std::string id, Descriptor fd);
  void save_state();
  base::Result<> restore_state();
  base::Result<> hash_rest(std::uint64_t from, std::uint64_t to);

  const std::string id_;
  const std::filesystem::path path_, state_path_;
  Descriptor fd_;
  crypto::Sha256 hash_;
  std::uint64_t saved_ = 0, flushed_ = 0;  // sizes at the last save and at the last nudge of the page cache
  std::atomic<std::uint64_t> size_{0};
  std::atomic<bool> claimed_{false}, gone_{false};
};

}  // namespace mainstay::store
