// The object store: one table keyed by (group, resource, namespace, name), one revision sequence, watch from a
// revision. Backend holds everything in memory and answers reads from there; writes go through a Dialect, many to a
// commit.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "async/runtime.h"
#include "async/sync.h"
#include "base/json.h"
#include "base/metrics.h"
#include "base/result.h"

namespace mainstay::store {

struct Key {
  std::string group, resource, ns, name;  // ns empty for cluster-scoped
  auto operator<=>(const Key&) const = default;
  std::string to_string() const;  // "apps/deployments/shop/web"
};

// Immutable and shared. `object` and `bytes` are the same object, metadata.resourceVersion included.
struct Record {
  Key key;
  std::int64_t revision = 0;
  std::shared_ptr<const base::json::value> object;
  std::shared_ptr<const std::string> bytes;  // compact JSON
};
using RecordPtr = std::shared_ptr<const Record>;

struct Change {
  enum class Type { kPut, kDelete } type;
  RecordPtr record;    // for kDelete: the last state, with the deletion's revision
  RecordPtr previous;  // null where it was created
  std::int64_t revision = 0;
};

// Where rows live. Called from one thread at a time: the one that loads, later the one that commits; never from the
// loop.
class Dialect {
 public:
  struct Row {
    Key key;
    std::int64_t revision;
    std::string value;
  };
  struct Write {
    Key key;
    std::int64_t revision;
    std::optional<std::string> value;  // nullopt: deleted
    std::optional<std::string> last;   // of a deletion, what it was; nullopt: that must not be kept
  };
  // A deletion that watches which began before a restart have yet to hear of. Dialects keep the newest few.
  struct Deletion {
    Key key;
    std::int64_t revision;
    std::optional<std::string> last;
  };
  struct Loaded {
    std::int64_t revision = 0;         // the last
    std::int64_t deletions_since = 0;  // all deletions after it were among those given
  };
  virtual ~Dialect() = default;
  // In the order of the keys, and the deletions in that of their revisions.
  virtual base::Result<Loaded> load(const std::function<void(Row)>& row,
                                    const std::function<void(Deletion)>& deletion) = 0;
  // In order, all or nothing, durable when it returns. kExhausted: no room (the next commit may find some);
  // kUnavailable: worth trying again; whether the batch was kept is then unknown until a restart.
  virtual base::Result<> commit(const std::vector<Write>& batch) = 0;
};
// One process at a time may have the file open: kUnavailable where another has.
base::Result<std::unique_ptr<Dialect>> open_sqlite(const std::filesystem::path& file);
std::unique_ptr<Dialect> open_memory();  // for tests

// Encrypts the rows of some resources on their way to the dialect. Called on the dialect's thread; `unseal` also gets
// what was written before the hook applied, and decides.
struct SealHook {
  std::function<bool(const Key&)> applies;
  std::function<std::string(std::string_view plain, const Key&)> seal;
  std::function<base::Result<std::string>(std::string_view sealed, const Key&)> unseal;
};

class Watch;

struct BackendLimits {
  // The changes kept for watches, per (group, resource): whichever is reached first.
  std::size_t history_changes = 8192, history_bytes = 16u << 20;
  // The most that goes into one commit, and the most that may wait for one (writes over it get kUnavailable).
  std::size_t batch_writes = 1024, batch_bytes = 16u << 20;
  std::size_t queue_writes = 16384, queue_bytes = 64u << 20;
};

// On the loop only. Reads never suspend and never see an unacknowledged write.
class Backend {
 public:
  Backend(async::Runtime& runtime, std::unique_ptr<Dialect> dialect, SealHook seal, base::Metrics& metrics,
          BackendLimits limits = {});
  ~Backend();             // after stop(), where anything was written
  base::Result<> load();  // blocking; once, before anything else
  // Flushes what is queued, ends the watches and closes the dialect; later writes get kUnavailable, reads go on.
  async::Task<> stop();

  std::int64_t revision() const;  // of the last acknowledged write
  RecordPtr get(const Key& key) const;
  // Of one (group, resource), in (namespace, name) order, all namespaces where ns is empty, strictly after `after`
  // (ns, name) where given; at most `limit` (0: all).
  std::vector<RecordPtr> list(std::string_view group, std::string_view resource, std::string_view ns = "",
                              std::optional<std::pair<std::string, std::string>> after = std::nullopt,
                              std::size_t limit = 0) const;
  std::size_t count(std::string_view group, std::string_view resource) const;
  // The revision of the resource's last visible change, or a later one where a deletion before this start may have been
  // forgotten; 0 where there never was one. What is derived from it is current while this stays.
  std::int64_t changed_at(std::string_view group, std::string_view resource) const;

  // Writes `object` (its metadata.resourceVersion is set here). expected: nullopt creates (kAlreadyExists where it is
  // there), a revision replaces exactly that (kConflict, kNotFound). Resumes when the write is durable and visible.
  // kExhausted (disk full) and kUnavailable: nothing changed. A caller cancelled meanwhile does not stop the write.
  async::Task<base::Result<RecordPtr>> put(Key key, base::json::value object, std::optional<std::int64_t> expected);
  // Deletes exactly that revision (0: whatever is there).
  async::Task<base::Result<RecordPtr>> remove(Key key, std::int64_t expected);

  // Changes of one (group, resource) after `revision`, in order. kConflict-free; error kNotFound ("too old": 410) where
  // the history no longer reaches back to it (a bounded window is kept). Of what changed before this start only the
  // outcome is known: several changes of one object come as one put, or as its deletion, and `previous` is the record
  // itself. Who needs to know what was before (`needs_previous`) is told kNotFound where such a change would come.
  base::Result<std::unique_ptr<Watch>> watch(std::string_view group, std::string_view resource,
                                             std::int64_t after_revision, bool needs_previous = false);

 private:
  friend class Watch;
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

// A reader too slow for the bounded buffer gets kExhausted and must list again; kUnavailable: the backend has stopped.
// Many watches of one resource share its records. May outlive the backend.
class Watch {
 public:
  ~Watch();
  // The next change; nullopt after `limit` without one (time for a bookmark).
  async::Task<base::Result<std::optional<Change>>> next(std::chrono::nanoseconds limit);
  std::int64_t revision() const;  // all changes up to it have been given out: a bookmark's value

 private:
  friend class Backend;
  struct Impl;
  explicit Watch(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

}  // namespace mainstay::store
