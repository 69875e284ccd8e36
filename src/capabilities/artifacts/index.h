// What repositories hold: tags, manifests, linked blobs, referrers, uploads under way. In memory for reading; a change
// is written first, many to a commit, and visible when it is durable.
//
// On the loop only. Pins and removals keep apart who adds a digest and who removes it across suspensions: whoever is
// about to refer to a digest pins it; whoever removes one marks it, and only where nobody has it pinned.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "async/runtime.h"
#include "async/sync.h"
#include "base/json.h"
#include "base/result.h"
#include "capabilities/artifacts/database.h"

namespace mainstay::artifacts {

struct StringHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
};
template <class T>
using StringMap = std::unordered_map<std::string, T, StringHash, std::equal_to<>>;

struct TagEntry {
  std::string digest;
  std::int64_t updated = 0;
};
using ManifestPtr = std::shared_ptr<const AddManifest>;

struct Repository {
  std::map<std::string, TagEntry, std::less<>> tags;
  StringMap<ManifestPtr> manifests;
  StringMap<LinkBlob> blobs;
  StringMap<std::set<std::string>> referrers;  // subject to manifests' digests
  bool empty() const { return tags.empty() && manifests.empty() && blobs.empty(); }
};

class Index {
 public:
  // Reads all rows: blocking, once, before the loop serves. The writer is a coroutine in `tasks`.
  static base::Result<std::shared_ptr<Index>> open(async::Runtime& runtime, async::TaskGroup& tasks,
                                                   const std::filesystem::path& file);
  Index(async::Runtime& runtime, std::unique_ptr<Database> database);
  ~Index();

  // Durable and visible when it resumes. All of it or nothing.
  async::Task<base::Result<>> commit(std::vector<Change> changes);

  const Repository* find(std::string_view repository) const;
  const std::map<std::string, Repository, std::less<>>& repositories() const { return repositories_; }
  // The manifest's record by tag or digest; null where there is none.
  ManifestPtr manifest(std::string_view repository, std::string_view reference) const;
  const LinkBlob* blob(std::string_view repository, std::string_view digest) const;
  const std::map<std::string, AddUpload, std::less<>>& uploads() const { return uploads_; }
  const std::set<std::string, std::less<>>& doubts() const { return doubts_; }
  // How many repositories' manifests or links speak of a digest.
  std::size_t uses(std::string_view digest) const;

  // Keeps digests from being removed while it lives. Movable.
  class Pin {
   public:
    Pin() = default;
    Pin(Index& index, std::vector<std::string> digests);
    Pin(Pin&& other) noexcept;
    Pin& operator=(Pin&& other) noexcept;
    ~Pin();

   private:
    void release();
    Index* index_ = nullptr;
    std::vector<std::string> digests_;
  };
  // Waits out removals of these digests, then pins them.
  async::Task<Pin> pin(std::vector<std::string> digests);
  bool pinned(std::string_view digest) const { return pins_.contains(digest); }

  // Marks a digest as being removed; null where it is pinned or already being removed.
  class Removal {
   public:
    Removal(Index& index, std::string digest) : index_(index), digest_(std::move(digest)) {}
    ~Removal();
    Removal(const Removal&) = delete;

   private:
    Index& index_;
    std::string digest_;
  };
  std::unique_ptr<Removal> begin_removal(std::string_view digest);

 private:
  struct Waiting;
  static async::Task<> write(std::shared_ptr<Index> self);
  void apply(const Change& change);
  void apply_one(const SetTag& c);
  void apply_one(const DropTag& c);
  void apply_one(const AddManifest& c);
  void apply_one(const DropManifest& c);
  void apply_one(const LinkBlob& c);
  void apply_one(const UnlinkBlob& c);
  void apply_one(const AddUpload& c);
  void apply_one(const DropUpload& c);
  void apply_one(const Doubt& c);
  void apply_one(const Settle& c);
  void forget_if_empty(const std::string& repository);
  void count(const AddManifest& manifest, int by);

  async::Runtime& runtime_;
  std::shared_ptr<Database> database_;
  async::Event wake_, removed_;
  std::vector<std::shared_ptr<Waiting>> waiting_;
  bool stopped_ = false;
  std::map<std::string, Repository, std::less<>> repositories_;
  std::map<std::string, AddUpload, std::less<>> uploads_;
  StringMap<std::size_t> uses_;
  StringMap<std::size_t> pins_;
  std::set<std::string, std::less<>> removing_, doubts_;
};

}  // namespace mainstay::artifacts
