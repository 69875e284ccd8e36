// The index's rows on disk: DIR/artifacts/index.db, SQLite. Only index.cc uses it; called from one pool thread at a
// time.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "base/result.h"

namespace mainstay::artifacts {

// One step of a change to the index. Times are Unix seconds.
struct SetTag {
  std::string repository, tag, digest;
  std::int64_t updated = 0;
};
struct DropTag {
  std::string repository, tag;
};
struct AddManifest {
  std::string repository, digest, media_type, artifact_type, subject;
  std::string annotations;  // JSON object
  std::uint64_t size = 0;
  std::vector<std::string> blobs;      // digests of config and layers
  std::vector<std::string> manifests;  // digests of an index's entries
  std::int64_t pushed = 0;
};
struct DropManifest {
  std::string repository, digest;
};
struct LinkBlob {
  std::string repository, digest;
  std::uint64_t size = 0;
  std::int64_t linked = 0;
};
struct UnlinkBlob {
  std::string repository, digest;
};
struct AddUpload {
  std::string id, repository, user;
};
struct DropUpload {
  std::string id;
};
// The digest's file may be there without an owner, should the program die now: the collector looks at it. Settle ends
// that.
struct Doubt {
  std::string digest;
};
struct Settle {
  std::string digest;
};
using Change = std::variant<SetTag, DropTag, AddManifest, DropManifest, LinkBlob, UnlinkBlob, AddUpload, DropUpload,
                            Doubt, Settle>;

class Database {
 public:
  virtual ~Database() = default;
  // Every row as the change that makes it.
  virtual base::Result<> load(const std::function<void(Change)>& row) = 0;
  // All or nothing, durable when it returns.
  virtual base::Result<> commit(const std::vector<Change>& changes) = 0;
  static base::Result<std::unique_ptr<Database>> open(const std::filesystem::path& file);
};

}  // namespace mainstay::artifacts
