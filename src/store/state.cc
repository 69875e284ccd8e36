#include "store/state.h"

#include <cassert>

namespace mainstay::store {
namespace {

using base::ErrorCode;
using base::fail;
namespace json = base::json;

constexpr std::size_t kChangeOverhead = 256;  // the deque's entry and the two records' headers, about

std::size_t bytes_of(const Change& change) {
  return kChangeOverhead + change.record->bytes->size() + (change.previous ? change.previous->bytes->size() : 0);
}

std::shared_ptr<Record> make_record(Key key, std::int64_t revision, json::value object, std::string bytes) {
  auto record = std::make_shared<Record>();
  record->key = std::move(key);
  record->revision = revision;
  record->object = std::make_shared<const json::value>(std::move(object));
  record->bytes = std::make_shared<const std::string>(std::move(bytes));
  return record;
}

// `object` at `revision`: the one place where metadata.resourceVersion is written.
RecordPtr stamp(const Key& key, std::int64_t revision, json::value object) {
  json::value& metadata = object.get_object()["metadata"];
  if (!metadata.is_object()) metadata.emplace_object();
  metadata.get_object()["resourceVersion"] = std::to_string(revision);
  std::string bytes = base::to_json(object);
  return make_record(key, revision, std::move(object), std::move(bytes));
}

}  // namespace

std::string Key::to_string() const {
  std::string out = group.empty() ? "" : group + "/";
  out += resource + "/";
  if (!ns.empty()) out += ns + "/";
  return out + name;
}

void History::push(Change change) {
  bytes_ += bytes_of(change);
  changes_.push_back(std::move(change));
  while (changes_.size() > 1 && (changes_.size() > limits_.history_changes || bytes_ > limits_.history_bytes)) {
    bytes_ -= bytes_of(changes_.front());
    floor_ = changes_.front().revision;
    changes_.pop_front();
    ++first_;
  }
}

std::optional<std::uint64_t> History::position_after(std::int64_t revision) const {
  if (revision < floor_) return std::nullopt;
  const auto at = std::upper_bound(changes_.begin(), changes_.end(), revision,
                                   [](std::int64_t r, const Change& change) { return r < change.revision; });
  return first_ + static_cast<std::uint64_t>(at - changes_.begin());
}

State::State(async::Executor executor, const BackendLimits& limits, base::Metrics& metrics)
    : executor_(std::move(executor)), limits_(limits), metrics_(metrics) {}

void State::restore(Key key, std::int64_t revision, json::value object, std::string bytes) {
  Table& into = table(key.group, key.resource);
  Place place{key.ns, key.name};
  into.changed = std::max(into.changed, revision);
  // Rows come in key order: the hint makes each insertion constant.
  into.rows.insert_or_assign(into.rows.end(), std::move(place),
                             make_record(std::move(key), revision, std::move(object), std::move(bytes)));
}

void State::restore_deletion(Key key, std::int64_t revision, std::optional<json::value> last, std::string bytes) {
  Table& of = table(key.group, key.resource);
  of.changed = std::max(of.changed, revision);
  if (!last) {
    of.unkept = std::max(of.unkept, revision);
    return;
  }
  auto& deleted = deleted_[Place(key.group, key.resource)];
  deleted.push_back(make_record(std::move(key), revision, *std::move(last), std::move(bytes)));
}

void State::restored(const Dialect::Loaded& loaded) {
  assigned_ = progress_->revision = loaded.revision;
  deletions_since_ = loaded.deletions_since;
  for (auto& [name, table] : tables_) {
    table.history = std::make_shared<History>(executor_, progress_, limits_, std::max(deletions_since_, table.unkept));
    restore_history(table, std::move(deleted_[name]));
    table.objects->set(static_cast<double>(table.rows.size()));
  }
  deleted_.clear();
}

// What the rows and the deletions tell of the time before this start: a client that was watching goes on where it was.
void State::restore_history(Table& table, std::vector<RecordPtr> deleted) const {
  const std::int64_t floor = std::max(deletions_since_, table.unkept);
  std::vector<std::pair<RecordPtr, Change::Type>> changes;
  for (auto& record : deleted) changes.emplace_back(std::move(record), Change::Type::kDelete);
  for (const auto& [place, record] : table.rows) {
    if (record->revision > floor) changes.emplace_back(record, Change::Type::kPut);
  }
  std::ranges::sort(changes, {}, [](const auto& change) { return change.first->revision; });
  for (const auto& [record, type] : changes) table.history->restore({type, record, record, record->revision});
}

Table& State::table(std::string_view group, std::string_view resource) {
  auto at = tables_.find(PlaceView(group, resource));
  if (at != tables_.end()) return at->second;
  Table& made = tables_[Place(group, resource)];
  made.history = std::make_shared<History>(executor_, progress_, limits_, deletions_since_);
  std::string label(resource);
  if (!group.empty()) label.append(".").append(group);
  made.objects = &metrics_.gauge("apiserver_storage_objects", "Objects kept, by resource.", {{"resource", label}});
  return made;
}

const Table* State::find(std::string_view group, std::string_view resource) const {
  const auto at = tables_.find(PlaceView(group, resource));
  return at == tables_.end() ? nullptr : &at->second;
}

RecordPtr State::get(const Key& key) const {
  const Table* table = find(key.group, key.resource);
  if (!table) return nullptr;
  const auto row = table->rows.find(PlaceView(key.ns, key.name));
  return row == table->rows.end() ? nullptr : row->second;
}

RecordPtr State::latest(const Key& key) const {
  const auto at = staged_.find(key);
  if (at == staged_.end()) return get(key);
  return at->second.last->removes() ? nullptr : at->second.last->record;
}

WritePtr State::under_way(const Key& key) const {
  const auto at = staged_.find(key);
  return at == staged_.end() ? nullptr : at->second.last;
}

base::Result<RecordPtr> State::check(const Write& write) const {
  RecordPtr now = latest(write.key);
  if (write.kind == Write::Kind::kCreate) {
    if (now) return fail(ErrorCode::kAlreadyExists, write.key.to_string() + " exists already");
    return now;
  }
  if (!now) return fail(ErrorCode::kNotFound, write.key.to_string() + " does not exist");
  const bool any = write.removes() && write.expected == 0;
  if (!any && now->revision != write.expected)
    return fail(
        ErrorCode::kConflict,
        fmt::format("{} has changed since it was read (it is at revision {}, not {}): read it again and reapply "
                    "the change",
                    write.key.to_string(), now->revision, write.expected));
  return now;
}

void State::stage(const WritePtr& write) {
  Staged& staged = staged_[write->key];
  staged.last = write;
  ++staged.writes;
}

void State::stage_put(const WritePtr& write, json::value object) {
  write->revision = ++assigned_;
  // A request's own arena must not live as long as the object does. (An assignment would keep the arena.)
  const bool arena = object.storage().get() != json::storage_ptr().get();
  write->record = stamp(write->key, write->revision, arena ? json::value(object, {}) : std::move(object));
  stage(write);
}

void State::stage_remove(const WritePtr& write, const Record& last) {
  if (write->revision == 0) write->revision = ++assigned_;
  write->record = stamp(write->key, write->revision, *last.object);
  stage(write);
}

void State::settle(const Write& write) {
  const auto at = staged_.find(write.key);
  assert(at != staged_.end());
  if (--at->second.writes == 0) staged_.erase(at);
}

void State::publish(const std::vector<WritePtr>& batch) {
  std::vector<History*> touched;
  for (const WritePtr& write : batch) {
    Table& into = table(write->key.group, write->key.resource);
    const auto row = into.rows.find(PlaceView(write->key.ns, write->key.name));
    RecordPtr previous = row == into.rows.end() ? nullptr : row->second;
    if (write->removes()) {
      assert(previous);
      into.rows.erase(row);
    } else if (previous) {
      row->second = write->record;
    } else {
      into.rows.emplace(Place(write->key.ns, write->key.name), write->record);
    }
    const auto type = write->removes() ? Change::Type::kDelete : Change::Type::kPut;
    into.history->push({type, write->record, std::move(previous), write->revision});
    into.objects->set(static_cast<double>(into.rows.size()));
    into.changed = write->revision;
    if (std::find(touched.begin(), touched.end(), into.history.get()) == touched.end())
      touched.push_back(into.history.get());
    settle(*write);
  }
  progress_->revision = batch.back()->revision;
  for (History* history : touched) history->changed.notify_all();
}

std::vector<std::pair<WritePtr, base::Error>> State::rollback(std::deque<WritePtr>& queue) {
  std::vector<std::pair<WritePtr, base::Error>> lost;
  staged_.clear();
  std::deque<WritePtr> kept;
  for (WritePtr& write : queue) {
    auto checked = check(*write);
    if (!checked) {
      lost.emplace_back(std::move(write), std::move(checked).error());
      continue;
    }
    if (write->removes()) {
      stage_remove(write, **checked);
    } else {
      stage(write);
    }
    kept.push_back(std::move(write));
  }
  queue = std::move(kept);
  return lost;
}

void State::close() {
  progress_->closed = true;
  for (auto& [name, table] : tables_) table.history->changed.notify_all();
}

}  // namespace mainstay::store
