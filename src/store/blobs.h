// Content-addressed bytes: layers, manifests, log chunks. `files/` keeps them below DIR/blobs/sha256/ab/abcd….
#pragma once
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "async/runtime.h"
#include "base/result.h"

namespace mainstay::store {

// A blob on its way in. Dropped without finish(): kept for resume until aborted or expire_uploads() comes by. One
// operation at a time: kConflict where another one is under way, kNotFound after finish() or abort().
class BlobUpload {
 public:
  virtual ~BlobUpload() = default;
  virtual const std::string& id() const = 0;
  virtual std::uint64_t size() const = 0;
  // Appends, hashing on the way (on the pool). kExhausted: the disk is full (the message says which and how full).
  virtual async::Task<base::Result<>> append(std::string data) = 0;
  // Durable when it returns. kInvalid where the content's digest is not `digest` ("sha256:…"); the upload is then gone.
  virtual async::Task<base::Result<>> finish(std::string digest) = 0;
  virtual async::Task<> abort() = 0;
};

class BlobStore {
 public:
  virtual ~BlobStore() = default;
  virtual async::Task<base::Result<std::shared_ptr<BlobUpload>>> begin() = 0;
  virtual async::Task<base::Result<std::shared_ptr<BlobUpload>>> resume(std::string id) = 0;  // also after a restart
  virtual base::Result<std::uint64_t> size(std::string_view digest) const = 0;                // kNotFound
  virtual base::Result<std::filesystem::path> path(std::string_view digest) const = 0;        // a local, immutable file
  virtual async::Task<base::Result<std::string>> put(std::string content) = 0;  // small ones; gives the digest
  virtual async::Task<base::Result<std::string>> read(std::string digest, std::size_t max_bytes) = 0;
  // kNotFound; kConflict while it is pinned. Readers that have the file open keep it.
  virtual async::Task<base::Result<>> remove(std::string digest) = 0;
  // While the result lives, remove() of this blob is refused. kNotFound. Thread-safe to drop.
  virtual base::Result<std::shared_ptr<const void>> pin(std::string_view digest) {
    return base::fail(base::ErrorCode::kUnavailable, "pins are not kept by this store");
  }
  // Removes uploads nobody has touched for `age`; gives how many. Those held by an object stay.
  virtual async::Task<std::size_t> expire_uploads(std::chrono::seconds age) { co_return 0; }
  // `f` is called on the loop. The file's modification time is when it was last put or finished (again): a collector
  // leaves young ones alone, since what will refer to them may be on its way.
  virtual async::Task<> for_each(std::function<void(const std::string& digest, std::uint64_t size)> f) = 0;
};
// Makes DIR/blobs and DIR/uploads, where DIR is `root`.
base::Result<std::shared_ptr<BlobStore>> open_file_blobs(async::Runtime& runtime, const std::filesystem::path& root);
bool valid_digest(std::string_view digest);  // "sha256:" and 64 lower-case hex digits

}  // namespace mainstay::store
