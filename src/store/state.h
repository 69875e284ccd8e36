// Internal to store/: what Backend holds in memory. No I/O here: the published objects, the changes kept for watches,
// and the view of writes that are on their way to the dialect.
#pragma once
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "store/backend.h"

namespace mainstay::store {

// What a backend and its watches share.
struct Progress {
  std::int64_t revision = 0;  // of the last acknowledged write
  bool closed = false;
};

// The recent changes of one (group, resource), numbered from 0; the oldest go when the bounds are reached.
class History {
 public:
  History(async::Executor executor, std::shared_ptr<const Progress> progress, const BackendLimits& limits,
          std::int64_t floor)
      : changed(std::move(executor)), progress_(std::move(progress)), limits_(limits), floor_(floor) {}

  void push(Change change);
  // Of a change before this start: `change.record` is the outcome alone.
  void restore(Change change) {
    restored_ = change.revision;
    push(std::move(change));
  }
  std::int64_t restored() const { return restored_; }  // the newest such change; 0: none
  std::uint64_t begin() const { return first_; }
  std::uint64_t end() const { return first_ + changes_.size(); }
  const Change& at(std::uint64_t number) const { return changes_[number - first_]; }
  // The number of the first change after `revision`; nullopt where changes after it have gone.
  std::optional<std::uint64_t> position_after(std::int64_t revision) const;
  const Progress& progress() const { return *progress_; }

  async::Event changed;  // notified by the backend once a batch

 private:
  std::shared_ptr<const Progress> progress_;
  BackendLimits limits_;
  std::deque<Change> changes_;
  std::uint64_t first_ = 0;
  std::size_t bytes_ = 0;
  std::int64_t floor_;  // the newest revision that may be missing here
  std::int64_t restored_ = 0;
};

using Place = std::pair<std::string, std::string>;  // namespace, name
using PlaceView = std::pair<std::string_view, std::string_view>;

struct PlaceLess {
  using is_transparent = void;
  bool operator()(PlaceView a, PlaceView b) const { return a < b; }
};

struct Table {
  std::map<Place, RecordPtr, PlaceLess> rows;
  std::shared_ptr<History> history;
  base::Gauge* objects = nullptr;
  std::int64_t changed = 0;  // the revision of the last change
  std::int64_t unkept = 0;   // of the last deletion before this start whose content was not kept
};

// A put or a remove from its call to its acknowledgement.
struct Write {
  explicit Write(async::Executor executor) : done(std::move(executor)) {}

  enum class Kind { kCreate, kReplace, kRemove } kind = Kind::kCreate;
  Key key;
  std::int64_t expected = 0;  // of kReplace and kRemove; kRemove: 0 is any
  std::int64_t revision = 0;
  RecordPtr record;
  std::size_t bytes = 0;            // as counted against the queue's bound
  base::Result<RecordPtr> outcome;  // once finished
  bool finished = false;
  async::Event done;

  bool removes() const { return kind == Kind::kRemove; }
  void finish(base::Result<RecordPtr> result) {
    outcome = std::move(result);
    finished = true;
    done.notify_all();
  }
};
using WritePtr = std::shared_ptr<Write>;

class State {
 public:
  State(async::Executor executor, const BackendLimits& limits, base::Metrics& metrics);

  // While loading: a row as it was kept, a deletion (null: its content is not known); then what is known of all, once.
  void restore(Key key, std::int64_t revision, base::json::value object, std::string bytes);
  void restore_deletion(Key key, std::int64_t revision, std::optional<base::json::value> last, std::string bytes);
  void restored(const Dialect::Loaded& loaded);

  std::int64_t revision() const { return progress_->revision; }
  // Before a start any resource may have lost objects up to here, of which nothing is known.
  std::int64_t deletions_since() const { return deletions_since_; }
  RecordPtr get(const Key& key) const;
  const Table* find(std::string_view group, std::string_view resource) const;
  Table& table(std::string_view group, std::string_view resource);

  // Checks the expectation against what will be there when all writes staged before have gone through; gives that.
  base::Result<RecordPtr> check(const Write& write) const;
  // The last write to the key that is still on its way; null where what check() looked at is acknowledged.
  WritePtr under_way(const Key& key) const;
  // After a good check(), with nothing in between: gives the write its revision and record, and makes it part of that
  // view.
  void stage_put(const WritePtr& write, base::json::value object);
  void stage_remove(const WritePtr& write, const Record& last);
  // Makes durable writes visible, all before anyone is woken.
  void publish(const std::vector<WritePtr>& batch);
  // After a failed commit: forgets the staged view and builds it anew from `queue`. Gives the writes whose expectation
  // rested on the failed ones, with their errors; they are no longer in the queue.
  std::vector<std::pair<WritePtr, base::Error>> rollback(std::deque<WritePtr>& queue);
  void close();

 private:
  struct Staged {
    WritePtr last;
    std::size_t writes = 0;
  };

  RecordPtr latest(const Key& key) const;
  void stage(const WritePtr& write);
  void settle(const Write& write);
  void restore_history(Table& table, std::vector<RecordPtr> deleted) const;

  async::Executor executor_;
  BackendLimits limits_;
  base::Metrics& metrics_;
  std::shared_ptr<Progress> progress_ = std::make_shared<Progress>();
  std::int64_t deletions_since_ = 0, assigned_ = 0;
  std::map<Place, Table, PlaceLess> tables_;  // by (group, resource)
  std::map<Key, Staged> staged_;
  std::map<Place, std::vector<RecordPtr>, PlaceLess> deleted_;  // while loading, by (group, resource)
};

}  // namespace mainstay::store
