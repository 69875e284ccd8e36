// Rows in one SQLite file. A commit is one transaction, appended to the write-ahead log and fsynced.
#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <deque>

#include "store/backend.h"

namespace mainstay::store {
namespace {

using base::ErrorCode;
using base::fail;

constexpr int kApplicationId = 0x4d4e5354;  // "MNST": `file` and we recognise our own
constexpr int kSchemaVersion = 2;
constexpr int kBusyMilliseconds = 1000;  // a predecessor that is just ending

constexpr const char* kSchema = R"sql(
  BEGIN IMMEDIATE;
  CREATE TABLE objects(
    grp TEXT NOT NULL, resource TEXT NOT NULL, ns TEXT NOT NULL, name TEXT NOT NULL,
    revision INTEGER NOT NULL, value ANY NOT NULL,
    PRIMARY KEY(grp, resource, ns, name)) STRICT, WITHOUT ROWID;
  CREATE TABLE deletions(
    revision INTEGER PRIMARY KEY, grp TEXT NOT NULL, resource TEXT NOT NULL, ns TEXT NOT NULL, name TEXT NOT NULL,
    last TEXT) STRICT;
  CREATE TABLE meta(key TEXT PRIMARY KEY NOT NULL, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  INSERT INTO meta VALUES('revision', 0), ('deletions_since', 0);
  PRAGMA application_id = 1296978772;
  PRAGMA user_version = 2;
  COMMIT;
)sql";
static_assert(kApplicationId == 1296978772 && kSchemaVersion == 2);

// Of a file of the first version, which told nothing of what was deleted.
constexpr const char* kFromVersion1 = R"sql(
  BEGIN IMMEDIATE;
  CREATE TABLE deletions(
    revision INTEGER PRIMARY KEY, grp TEXT NOT NULL, resource TEXT NOT NULL, ns TEXT NOT NULL, name TEXT NOT NULL,
    last TEXT) STRICT;
  INSERT INTO meta SELECT 'deletions_since', value FROM meta WHERE key = 'revision';
  PRAGMA user_version = 2;
  COMMIT;
)sql";

// The deletions kept for watches that go on after a restart: the newest, whichever bound is reached first. They are
// forgotten by the quarter, so that not every deletion forgets another.
constexpr std::size_t kDeletions = 8192, kDeletionBytes = 16u << 20;

// EXCLUSIVE: two servers on one file, each with its own memory of it, would destroy it; it also spares the
// shared-memory file. FULL: the log is fsynced at every commit. The log is checkpointed every 2,000 pages (8 MB) and
// cut at 64 MB.
constexpr const char* kSettings = R"sql(
  PRAGMA locking_mode = EXCLUSIVE;
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = FULL;
  PRAGMA wal_autocheckpoint = 2000;
  PRAGMA journal_size_limit = 67108864;
  PRAGMA temp_store = MEMORY;
  PRAGMA cache_size = -16384;
)sql";

struct Close {
  void operator()(sqlite3* db) const { sqlite3_close_v2(db); }
  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};
using Database = std::unique_ptr<sqlite3, Close>;
using Statement = std::unique_ptr<sqlite3_stmt, Close>;

bool is_full(int code, int system_errno) {
  if ((code & 0xff) == SQLITE_FULL) return true;
  return (code & 0xff) == SQLITE_IOERR && (system_errno == ENOSPC || system_errno == EDQUOT || system_errno == EFBIG);
}

std::unexpected<base::Error> failure(sqlite3* db, const std::string& file) {
  const int code = sqlite3_extended_errcode(db);
  const int system_errno = sqlite3_system_errno(db);
  if (is_full(code, system_errno))
    return fail(ErrorCode::kExhausted,
                fmt::format("the disk that holds {} is full; writes go on when there is room again", file));
  switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return fail(
          ErrorCode::kUnavailable,
          fmt::format("{} is in use by another process: stop the other Mainstay, or choose another data directory",
                      file));
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return fail(ErrorCode::kInternal,
                  fmt::format("{} is damaged ({}); restore it from a backup", file, sqlite3_errmsg(db)));
    case SQLITE_TOOBIG:
      return fail(ErrorCode::kTooLarge, fmt::format("{}: {}", file, sqlite3_errmsg(db)));
    default:
      return fail(ErrorCode::kUnavailable, fmt::format("{}: {}{}{}", file, sqlite3_errmsg(db), system_errno ? ": " : "",
                                                       system_errno ? std::strerror(system_errno) : ""));
  }
}

class Sqlite final : public Dialect {
 public:
  explicit Sqlite(std::string file) : file_(std::move(file)) {}
  base::Result<> open();
  base::Result<Loaded> load(const std::function<void(Row)>& row,
                            const std::function<void(Deletion)>& deletion) override;
  base::Result<> commit(const std::vector<Write>& batch) override;

 private:
  base::Result<> run(const char* sql) {
    if (sqlite3_exec(db_.get(), sql, nullptr, nullptr, nullptr) != SQLITE_OK) return failure(db_.get(), file_);
    return {};
  }
  base::Result<Statement> prepare(const char* sql) {
    sqlite3_stmt* raw = nullptr;
    if (sqlite3_prepare_v3(db_.get(), sql, -1, SQLITE_PREPARE_PERSISTENT, &raw, nullptr) != SQLITE_OK)
      return failure(db_.get(), file_);
    return Statement(raw);
  }
  base::Result<std::int64_t> number(const char* sql) {
    MAINSTAY_TRY(const Statement query, prepare(sql));
    if (sqlite3_step(query.get()) != SQLITE_ROW) return failure(db_.get(), file_);
    return sqlite3_column_int64(query.get(), 0);
  }
  base::Result<> step(sqlite3_stmt* statement) {
    const int code = sqlite3_step(statement);
    // The error is in the handle until the next call: read it before the reset.
    base::Result<> result;
    if (code != SQLITE_DONE) result = failure(db_.get(), file_);
    sqlite3_reset(statement);
    return result;
  }
  base::Result<> check_schema();
  base::Result<> write(const Write& one);
  base::Result<> set_meta(std::string_view key, std::int64_t value);
  base::Result<> forget_deletions(std::size_t count);
  std::size_t deletions_to_forget() const;
  base::Result<> commit_open(const std::vector<Write>& batch);
  void roll_back() {
    if (!sqlite3_get_autocommit(db_.get())) sqlite3_exec(db_.get(), "ROLLBACK", nullptr, nullptr, nullptr);
  }

  const std::string file_;
  Database db_;
  Statement put_, remove_, deleted_, forget_, meta_, begin_, end_;  // after db_: they go first
  // Revision and size of each deletion that is kept, oldest first.
  std::deque<std::pair<std::int64_t, std::size_t>> deletions_;
  std::size_t deletion_bytes_ = 0;
};

void bind_text(sqlite3_stmt* statement, int at, std::string_view text) {
  sqlite3_bind_text64(statement, at, text.data(), text.size(), SQLITE_STATIC, SQLITE_UTF8);
}

void bind_key(sqlite3_stmt* statement, const Key& key) {
  bind_text(statement, 1, key.group);
  bind_text(statement, 2, key.resource);
  bind_text(statement, 3, key.ns);
  bind_text(statement, 4, key.name);
}

std::string column(sqlite3_stmt* statement, int at) {
  const auto* data = static_cast<const char*>(sqlite3_column_blob(statement, at));
  const auto size = static_cast<std::size_t>(sqlite3_column_bytes(statement, at));
  return data ? std::string(data, size) : std::string();
}

base::Result<> Sqlite::open() {
  // SQLite would make it with the umask's rights; its log takes the rights of the file.
  const int made = ::open(file_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (made < 0) return fail(ErrorCode::kUnavailable, fmt::format("{}: {}", file_, std::strerror(errno)));
  ::close(made);
  sqlite3* raw = nullptr;
  // NOMUTEX: Backend lets one thread in at a time.
  const int code = sqlite3_open_v2(file_.c_str(), &raw,
                                   SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, nullptr);
  db_.reset(raw);
  if (code != SQLITE_OK) return failure(raw, file_);
  sqlite3_busy_timeout(raw, kBusyMilliseconds);
  MAINSTAY_TRY_VOID(run(kSettings));
  MAINSTAY_TRY_VOID(check_schema());
  // The lock is taken by the first transaction and then kept: take it now, not at the first write.
  MAINSTAY_TRY_VOID(run("BEGIN EXCLUSIVE; COMMIT"));
  MAINSTAY_TRY(put_, prepare("INSERT INTO objects VALUES(?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE "
                             "SET revision = excluded.revision, value = excluded.value"));
  MAINSTAY_TRY(remove_, prepare("DELETE FROM objects WHERE grp = ? AND resource = ? AND ns = ? AND name = ?"));
  MAINSTAY_TRY(deleted_, prepare("INSERT INTO deletions(grp, resource, ns, name, revision, last) "
                                 "VALUES(?, ?, ?, ?, ?, ?)"));
  MAINSTAY_TRY(forget_, prepare("DELETE FROM deletions WHERE revision <= ?"));
  MAINSTAY_TRY(meta_, prepare("UPDATE meta SET value = ? WHERE key = ?"));
  MAINSTAY_TRY(begin_, prepare("BEGIN IMMEDIATE"));
  MAINSTAY_TRY(end_, prepare("COMMIT"));
  return {};
}

base::Result<> Sqlite::check_schema() {
  MAINSTAY_TRY(const std::int64_t application, number("PRAGMA application_id"));
  MAINSTAY_TRY(const std::int64_t version, number("PRAGMA user_version"));
  MAINSTAY_TRY(const std::int64_t tables, number("SELECT count(*) FROM sqlite_schema"));
  if (application == 0 && version == 0 && tables == 0) return run(kSchema);
  if (application == kApplicationId && version == 1) return run(kFromVersion1);
  if (application != kApplicationId)
    return fail(ErrorCode::kInvalid, fmt::format("{} is an SQLite file, but not a Mainstay store", file_));
  if (version != kSchemaVersion)
    return fail(
        ErrorCode::kInvalid,
        fmt::format("{} has schema version {}, this Mainstay knows {}: use the version that wrote it, or a newer one",
                    file_, version, kSchemaVersion));
  return {};
}

base::Result<Dialect::Loaded> Sqlite::load(const std::function<void(Row)>& row,
                                           const std::function<void(Deletion)>& deletion) {
  MAINSTAY_TRY(
      const Statement query,
      prepare("SELECT grp, resource, ns, name, revision, value FROM objects ORDER BY grp, resource, ns, name"));
  int code = 0;
  while ((code = sqlite3_step(query.get())) == SQLITE_ROW) {
    sqlite3_stmt* s = query.get();
    row({{column(s, 0), column(s, 1), column(s, 2), column(s, 3)}, sqlite3_column_int64(s, 4), column(s, 5)});
  }
  if (code != SQLITE_DONE) return failure(db_.get(), file_);
  MAINSTAY_TRY(const Statement gone,
               prepare("SELECT grp, resource, ns, name, revision, last FROM deletions ORDER BY revision"));
  while ((code = sqlite3_step(gone.get())) == SQLITE_ROW) {
    sqlite3_stmt* s = gone.get();
    Deletion one{{column(s, 0), column(s, 1), column(s, 2), column(s, 3)}, sqlite3_column_int64(s, 4), std::nullopt};
    if (sqlite3_column_type(s, 5) != SQLITE_NULL) one.last = column(s, 5);
    deletions_.emplace_back(one.revision, one.last ? one.last->size() : 0);
    deletion_bytes_ += deletions_.back().second;
    deletion(std::move(one));
  }
  if (code != SQLITE_DONE) return failure(db_.get(), file_);
  Loaded out;
  MAINSTAY_TRY(out.revision, number("SELECT value FROM meta WHERE key = 'revision'"));
  MAINSTAY_TRY(out.deletions_since, number("SELECT value FROM meta WHERE key = 'deletions_since'"));
  return out;
}

base::Result<> Sqlite::write(const Write& one) {
  sqlite3_stmt* statement = one.value ? put_.get() : remove_.get();
  bind_key(statement, one.key);
  if (!one.value) {
    MAINSTAY_TRY_VOID(step(statement));
    bind_key(deleted_.get(), one.key);
    sqlite3_bind_int64(deleted_.get(), 5, one.revision);
    if (one.last)
      bind_text(deleted_.get(), 6, *one.last);
    else
      sqlite3_bind_null(deleted_.get(), 6);
    return step(deleted_.get());
  }
  sqlite3_bind_int64(statement, 5, one.revision);
  // JSON as text, so that SQLite's own JSON functions can look into it; sealed bytes are a blob.
  if (one.value->starts_with('{')) {
    bind_text(statement, 6, *one.value);
  } else {
    sqlite3_bind_blob64(statement, 6, one.value->data(), one.value->size(), SQLITE_STATIC);
  }
  return step(statement);
}

base::Result<> Sqlite::commit_open(const std::vector<Write>& batch) {
  MAINSTAY_TRY_VOID(step(begin_.get()));
  for (const Write& one : batch) MAINSTAY_TRY_VOID(write(one));
  const std::size_t forgotten = deletions_to_forget();
  if (forgotten > 0) {
    MAINSTAY_TRY_VOID(forget_deletions(forgotten));
  }
  MAINSTAY_TRY_VOID(set_meta("revision", batch.back().revision));
  MAINSTAY_TRY_VOID(step(end_.get()));
  for (std::size_t i = 0; i < forgotten; ++i) {
    deletion_bytes_ -= deletions_.front().second;
    deletions_.pop_front();
  }
  for (const Write& one : batch) {
    if (one.value) continue;
    deletions_.emplace_back(one.revision, one.last ? one.last->size() : 0);
    deletion_bytes_ += deletions_.back().second;
  }
  return {};
}

// How many of the oldest are to go with the next commit.
std::size_t Sqlite::deletions_to_forget() const {
  if (deletions_.size() <= kDeletions && deletion_bytes_ <= kDeletionBytes) return 0;
  std::size_t count = 0, bytes = deletion_bytes_;
  while (deletions_.size() - count > kDeletions / 4 * 3 || bytes > kDeletionBytes / 4 * 3)
    bytes -= deletions_[count++].second;
  return count;
}

base::Result<> Sqlite::forget_deletions(std::size_t count) {
  const std::int64_t last = deletions_[count - 1].first;
  sqlite3_bind_int64(forget_.get(), 1, last);
  MAINSTAY_TRY_VOID(step(forget_.get()));
  return set_meta("deletions_since", last);
}

base::Result<> Sqlite::set_meta(std::string_view key, std::int64_t value) {
  sqlite3_bind_int64(meta_.get(), 1, value);
  bind_text(meta_.get(), 2, key);
  return step(meta_.get());
}

base::Result<> Sqlite::commit(const std::vector<Write>& batch) {
  if (batch.empty()) return {};
  roll_back();  // where the rollback after an earlier failure failed itself
  base::Result<> result = commit_open(batch);
  if (!result) roll_back();
  // They point into the batch, which goes.
  sqlite3_clear_bindings(put_.get());
  sqlite3_clear_bindings(remove_.get());
  sqlite3_clear_bindings(deleted_.get());
  return result;
}

}  // namespace

base::Result<std::unique_ptr<Dialect>> open_sqlite(const std::filesystem::path& file) {
  auto out = std::make_unique<Sqlite>(file.string());
  MAINSTAY_TRY_VOID(out->open());
  return std::unique_ptr<Dialect>(std::move(out));
}

}  // namespace mainstay::store
