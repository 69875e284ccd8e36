#include "store/backend.h"

#include <cassert>

#include "base/log.h"
#include "store/committer.h"
#include "store/state.h"
#include "store/watch.h"

namespace mainstay::store {
namespace {

using base::ErrorCode;
using base::fail;

// Objects are bounded where they enter (the API's parser); whatever was accepted must load again.
constexpr std::size_t kMaxLoadDepth = 1024;

const std::vector<double> kCommitSeconds{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5};
const std::vector<double> kCommitWrites{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024};

}  // namespace

// One writer at a time takes what has queued up to the pool, so that many writes share a commit; the loop goes on
// meanwhile. Nothing becomes visible before its commit has returned.
struct Backend::Impl : std::enable_shared_from_this<Impl> {
  Impl(async::Runtime& r, std::unique_ptr<Dialect> d, SealHook s, base::Metrics& metrics, BackendLimits l)
      : runtime(r),
        dialect(std::move(d)),
        seal(std::move(s)),
        limits(l),
        state(r.executor(), l, metrics),
        idle(r.executor()),
        commit_seconds(
            metrics.histogram("mainstay_store_commit_seconds", "Time to make a batch durable.", kCommitSeconds)),
        commit_writes(metrics.histogram("mainstay_store_commit_writes", "Writes in a commit.", kCommitWrites)),
        failures(metrics.counter("mainstay_store_commit_failures_total", "Commits that failed.")),
        watches(metrics.gauge("mainstay_store_watches", "Open watches.")) {}

  bool sealed(const Key& key) const { return seal.applies && seal.applies(key); }

  base::Result<> load();
  base::Result<> admit() const;
  void enqueue(WritePtr write);
  static async::Task<base::Result<RecordPtr>> wait(WritePtr write);
  static async::Task<base::Result<RecordPtr>> admitted(std::shared_ptr<Impl> impl, WritePtr write);
  void start_commit();
  std::vector<WritePtr> take_batch();
  base::Result<> commit(const std::vector<WritePtr>& batch);  // on the committing thread
  void settle(const std::vector<WritePtr>& batch, const base::Result<>& result);
  void fail_batch(const std::vector<WritePtr>& batch, const base::Error& error);

  async::Runtime& runtime;
  std::unique_ptr<Dialect> dialect;
  const SealHook seal;
  const BackendLimits limits;
  State state;
  std::deque<WritePtr> queue;
  std::size_t queued_bytes = 0;
  bool committing = false, stopping = false, failing = false;
  async::Event idle;  // no commit is under way
  Committer committer;
  base::Histogram &commit_seconds, &commit_writes;
  base::Counter& failures;
  base::Gauge& watches;
};

base::Result<> Backend::Impl::load() {
  std::optional<base::Error> broken;
  auto row = [&](Dialect::Row row) {
    if (broken) return;
    const std::string where = row.key.to_string();
    if (sealed(row.key)) {
      auto plain = seal.unseal(row.value, row.key);
      if (!plain) {
        broken = base::Error{plain.error().code, where + ": " + plain.error().message};
        return;
      }
      row.value = *std::move(plain);
    }
    auto object = base::parse_json(row.value, kMaxLoadDepth);
    if (!object) {
      broken =
          base::Error{ErrorCode::kInternal, where + ": the stored object is damaged; restore the store from a backup"};
      return;
    }
    state.restore(std::move(row.key), row.revision, *std::move(object), std::move(row.value));
  };
  auto deletion = [&](Dialect::Deletion one) {
    // One that cannot be read costs a watch its history, and no more.
    auto last = one.last ? base::parse_json(*one.last, kMaxLoadDepth) : base::Result<base::json::value>();
    const bool kept = one.last && last && last->is_object();
    state.restore_deletion(std::move(one.key), one.revision, kept ? std::optional(*std::move(last)) : std::nullopt,
                           std::move(one.last).value_or(""));
  };
  MAINSTAY_TRY(const Dialect::Loaded loaded, dialect->load(row, deletion));
  if (broken) return std::unexpected(*std::move(broken));
  state.restored(loaded);
  return {};
}

base::Result<> Backend::Impl::admit() const {
  if (stopping) return fail(ErrorCode::kUnavailable, "the store is stopping");
  if (queue.size() >= limits.queue_writes || queued_bytes >= limits.queue_bytes)
    return fail(ErrorCode::kUnavailable, fmt::format("{} writes are waiting already; try again later", queue.size()));
  return {};
}

void Backend::Impl::enqueue(WritePtr write) {
  write->bytes = write->record->bytes->size();
  queued_bytes += write->bytes;
  queue.push_back(std::move(write));
  if (!committing) start_commit();
}

async::Task<base::Result<RecordPtr>> Backend::Impl::wait(WritePtr write) {
  while (!write->finished) co_await write->done.wait();
  co_return write->outcome;
}

// The state the write finds, or why it may not go on. Where the refusal rests on a write that is still on its way, that
// one is waited for first: it may yet fail, and a caller that tries again at once would keep the loop from ever hearing
// of it.
async::Task<base::Result<RecordPtr>> Backend::Impl::admitted(std::shared_ptr<Impl> impl, WritePtr write) {
  for (;;) {
    MAINSTAY_CO_TRY_VOID(impl->admit());
    auto checked = impl->state.check(*write);
    if (checked) co_return checked;
    const WritePtr other = impl->state.under_way(write->key);
    if (!other) co_return checked;
    (void)co_await wait(other);
  }
}

std::vector<WritePtr> Backend::Impl::take_batch() {
  std::vector<WritePtr> batch;
  std::size_t bytes = 0;
  while (!queue.empty() && batch.size() < limits.batch_writes && bytes < limits.batch_bytes) {
    bytes += queue.front()->bytes;
    batch.push_back(std::move(queue.front()));
    queue.pop_front();
  }
  queued_bytes -= bytes;
  return batch;
}

void Backend::Impl::start_commit() {
  committing = !queue.empty();
  if (!committing) return idle.notify_all();
  // The job's hold on this moves back to the loop with the result: the thread must never be the one that lets go of
  // itself.
  committer.run([self = shared_from_this(), batch = take_batch()]() mutable {
    base::Result<> result = self->commit(batch);
    async::Runtime& loop = self->runtime;
    loop.post([self = std::move(self), batch = std::move(batch), result = std::move(result)] {
      // The next commit need not wait for what follows from this one, unless this one failed and others rest on it.
      if (result) self->start_commit();
      self->settle(batch, result);
      if (!result) self->start_commit();
    });
  });
}

base::Result<> Backend::Impl::commit(const std::vector<WritePtr>& batch) {
  const auto begin = std::chrono::steady_clock::now();
  base::Result<> result;
  try {
    std::vector<Dialect::Write> rows;
    rows.reserve(batch.size());
    for (const WritePtr& write : batch) {
      rows.push_back({write->key, write->revision, std::nullopt, std::nullopt});
      const std::string& plain = *write->record->bytes;
      const bool secret = sealed(write->key);
      if (!write->removes())
        rows.back().value = secret ? seal.seal(plain, write->key) : plain;
      else if (!secret)  // who deletes a secret wants it gone
        rows.back().last = plain;
    }
    result = dialect->commit(rows);
  } catch (const std::exception& e) {
    result = fail(ErrorCode::kInternal, fmt::format("the commit failed: {}", e.what()));
  }
  commit_seconds.observe(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  commit_writes.observe(static_cast<double>(batch.size()));
  return result;
}

void Backend::Impl::settle(const std::vector<WritePtr>& batch, const base::Result<>& result) {
  if (!result) return fail_batch(batch, result.error());
  if (std::exchange(failing, false)) base::log::info("store", "writes succeed again");
  state.publish(batch);
  for (const WritePtr& write : batch) write->finish(write->record);
}

void Backend::Impl::fail_batch(const std::vector<WritePtr>& batch, const base::Error& error) {
  failures.add();
  // Once for a row of failures: a full disk fails every write until somebody comes.
  if (!std::exchange(failing, true)) base::log::error("store", "{} writes failed: {}", batch.size(), error.message);
  const auto lost = state.rollback(queue);
  for (const auto& [write, why] : lost) queued_bytes -= write->bytes;
  for (const WritePtr& write : batch) write->finish(std::unexpected(error));
  for (const auto& [write, why] : lost) write->finish(std::unexpected(why));
}

Backend::Backend(async::Runtime& runtime, std::unique_ptr<Dialect> dialect, SealHook seal, base::Metrics& metrics,
                 BackendLimits limits)
    : impl_(std::make_shared<Impl>(runtime, std::move(dialect), std::move(seal), metrics, limits)) {}

Backend::~Backend() {
  impl_->state.close();
  impl_->committer.join();
}

base::Result<> Backend::load() { return impl_->load(); }

async::Task<> Backend::stop() {
  auto impl = impl_;
  impl->stopping = true;
  while (impl->committing) co_await impl->idle.wait();
  impl->state.close();
  // SQLite moves its log into the table when it closes: not on the loop.
  auto close = [impl] { impl->dialect.reset(); };
  co_await impl->runtime.blocking(std::move(close));
}

std::int64_t Backend::revision() const { return impl_->state.revision(); }
RecordPtr Backend::get(const Key& key) const { return impl_->state.get(key); }

std::vector<RecordPtr> Backend::list(std::string_view group, std::string_view resource, std::string_view ns,
                                     std::optional<std::pair<std::string, std::string>> after,
                                     std::size_t limit) const {
  std::vector<RecordPtr> out;
  const Table* table = impl_->state.find(group, resource);
  if (!table) return out;
  auto at = table->rows.lower_bound(PlaceView(ns, ""));
  if (after && !(PlaceView(*after) < PlaceView(ns, ""))) at = table->rows.upper_bound(PlaceView(*after));
  if (ns.empty() && limit == 0 && !after) out.reserve(table->rows.size());
  for (; at != table->rows.end() && (limit == 0 || out.size() < limit); ++at) {
    if (!ns.empty() && at->first.first != ns) break;
    out.push_back(at->second);
  }
  return out;
}

std::size_t Backend::count(std::string_view group, std::string_view resource) const {
  const Table* table = impl_->state.find(group, resource);
  return table ? table->rows.size() : 0;
}

std::int64_t Backend::changed_at(std::string_view group, std::string_view resource) const {
  const Table* table = impl_->state.find(group, resource);
  return std::max(table ? table->changed : 0, impl_->state.deletions_since());
}

async::Task<base::Result<RecordPtr>> Backend::put(Key key, base::json::value object,
                                                  std::optional<std::int64_t> expected) {
  const auto impl = impl_;
  if (!object.is_object()) co_return fail(ErrorCode::kInvalid, key.to_string() + ": not a JSON object");
  auto write = std::make_shared<Write>(impl->runtime.executor());
  write->key = std::move(key);
  write->kind = expected ? Write::Kind::kReplace : Write::Kind::kCreate;
  write->expected = expected.value_or(0);
  auto found = co_await Impl::admitted(impl, write);
  if (!found) co_return found;
  impl->state.stage_put(write, std::move(object));
  impl->enqueue(write);
  co_return co_await Impl::wait(write);
}

async::Task<base::Result<RecordPtr>> Backend::remove(Key key, std::int64_t expected) {
  const auto impl = impl_;
  auto write = std::make_shared<Write>(impl->runtime.executor());
  write->key = std::move(key);
  write->kind = Write::Kind::kRemove;
  write->expected = expected;
  auto found = co_await Impl::admitted(impl, write);
  if (!found) co_return found;
  impl->state.stage_remove(write, **found);
  impl->enqueue(write);
  co_return co_await Impl::wait(write);
}

base::Result<std::unique_ptr<Watch>> Backend::watch(std::string_view group, std::string_view resource,
                                                    std::int64_t after_revision, bool needs_previous) {
  if (impl_->stopping) return fail(ErrorCode::kUnavailable, "the store is stopping");
  if (after_revision > revision())
    return fail(ErrorCode::kNotFound, fmt::format("revision {} is in the future (the last one is {}): list again",
                                                  after_revision, revision()));
  const std::shared_ptr<History> history = impl_->state.table(group, resource).history;
  const auto position = history->position_after(after_revision);
  if (!position || (needs_previous && after_revision < history->restored()))
    return fail(ErrorCode::kNotFound,
                fmt::format("revision {} is too old, its changes are no longer kept: list again", after_revision));
  return std::unique_ptr<Watch>(
      new Watch(std::make_shared<Watch::Impl>(history, *position, after_revision, impl_->watches)));
}

}  // namespace mainstay::store
