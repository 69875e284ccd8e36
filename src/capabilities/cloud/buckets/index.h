// What is in the buckets: DIR/buckets/index.db (SQLite). The bytes are blobs; a row says which. Thread-safe: pool
// threads call it, one at a time. A change is durable when it returns.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"

struct sqlite3;

namespace mainstay::cloud {

struct BlobPart {
  std::string digest;
  std::uint64_t size = 0;
};
struct S3Object {
  std::string key, etag;  // the ETag without quotes
  std::string headers;    // JSON object: content-type, cache-control, x-amz-meta-…
  std::uint64_t size = 0;
  std::int64_t modified = 0;  // Unix seconds
  std::vector<BlobPart> parts;
};
struct S3Part {
  int number = 0;
  std::string etag, digest;
  std::uint64_t size = 0;
  std::int64_t modified = 0;
};
struct S3Upload {
  std::string id, key, headers;
  std::int64_t begun = 0;
};
struct BucketUsage {
  std::uint64_t objects = 0, bytes = 0;
};
struct S3Listing {
  std::vector<S3Object> objects;      // without parts
  std::vector<std::string> prefixes;  // common ones, each once
  std::string next;                   // go on after this; "" at the end
};

class BucketIndex {
 public:
  static base::Result<std::shared_ptr<BucketIndex>> open(const std::filesystem::path& file);
  ~BucketIndex();

  // `id` is the bucket's: opaque, chosen by the caller.
  base::Result<BucketUsage> usage(const std::string& id);
  base::Result<std::optional<S3Object>> find(const std::string& id, const std::string& key);
  // The digests in `freed` may have lost their last reference. kConflict where `only_new` and the key is there;
  // kExhausted over `quota` bytes of a bucket (0: none), with all parts of its uploads.
  base::Result<> put(const std::string& id, const S3Object& object, bool only_new, std::uint64_t quota,
                     std::vector<std::string>& freed);
  base::Result<> erase(const std::string& id, const std::vector<std::string>& keys, std::vector<std::string>& freed);
  // In the order of the keys' bytes, after `after`, at most `limit` objects and prefixes together.
  base::Result<S3Listing> list(const std::string& id, const std::string& prefix, const std::string& delimiter,
                               const std::string& after, std::size_t limit);

  // kExhausted: too many are under way.
  base::Result<> begin_upload(const std::string& id, const S3Upload& upload);
  base::Result<std::optional<S3Upload>> find_upload(const std::string& id, const std::string& upload);
  base::Result<std::vector<S3Upload>> uploads(const std::string& id, std::size_t limit);
  // kExhausted as for put(). kNotFound: no such upload of the bucket.
  base::Result<> put_part(const std::string& id, const std::string& upload, const S3Part& part, std::uint64_t quota,
                          std::vector<std::string>& freed);
  base::Result<std::vector<S3Part>> parts(const std::string& upload);
  // The object takes the upload's place, in one step.
  // kConflict where the object has a part that the upload has no more; kNotFound and kExhausted as for put_part().
  base::Result<> complete(const std::string& id, const std::string& upload, const S3Object& object, std::uint64_t quota,
                          std::vector<std::string>& freed);
  base::Result<> abort(const std::string& upload, std::vector<std::string>& freed);
  // Uploads begun before, of all buckets.
  base::Result<std::vector<std::string>> stale_uploads(std::int64_t before);
  base::Result<> drop_bucket(const std::string& id, std::vector<std::string>& freed);
  bool is_used(const std::string& digest);

 private:
  explicit BucketIndex(sqlite3* db) : db_(db) {}
  base::Result<> store(const std::string& id, const S3Object& object, std::uint64_t quota,
                       std::vector<std::string>& freed);
  base::Result<> check_quota(const std::string& id, std::uint64_t quota);
  base::Result<> forget(const std::string& id, const std::string& key, std::vector<std::string>& freed);
  base::Result<> transaction(const std::function<base::Result<>()>& body);
  std::unexpected<base::Error> error(std::string_view doing) const;

  sqlite3* db_;
  std::mutex mutex_;
};

}  // namespace mainstay::cloud
