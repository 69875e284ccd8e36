#include "capabilities/artifacts/database.h"

#include "base/json.h"
#include "store/sqlite/statement.h"

namespace mainstay::artifacts {

using base::ErrorCode;
using base::fail;
using store::Statement;

namespace {

constexpr const char* kSchema = R"sql(
PRAGMA journal_mode=WAL;
PRAGMA synchronous=FULL;
CREATE TABLE IF NOT EXISTS tags(repository TEXT, tag TEXT, digest TEXT NOT NULL, updated INTEGER NOT NULL,
  PRIMARY KEY(repository, tag)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS manifests(repository TEXT, digest TEXT, media_type TEXT NOT NULL, artifact_type TEXT NOT NULL,
  subject TEXT NOT NULL, annotations TEXT NOT NULL, size INTEGER NOT NULL, blobs TEXT NOT NULL, manifests TEXT NOT NULL,
  pushed INTEGER NOT NULL, PRIMARY KEY(repository, digest)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS links(repository TEXT, digest TEXT, size INTEGER NOT NULL, linked INTEGER NOT NULL,
  PRIMARY KEY(repository, digest)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS uploads(id TEXT PRIMARY KEY, repository TEXT NOT NULL, user TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS doubts(digest TEXT PRIMARY KEY) WITHOUT ROWID;
)sql";

std::string list_text(const std::vector<std::string>& items) {
  base::json::array array;
  for (const auto& item : items) array.emplace_back(item);
  return base::to_json(array);
}

base::Result<std::vector<std::string>> list_of(std::string_view text) {
  MAINSTAY_TRY(const auto value, base::parse_json(text, 4));
  std::vector<std::string> out;
  if (!value.is_array()) return fail(ErrorCode::kInternal, "a list of digests is damaged");
  for (const auto& item : value.get_array()) {
    if (!item.is_string()) return fail(ErrorCode::kInternal, "a list of digests is damaged");
    out.emplace_back(item.get_string());
  }
  return out;
}

class SqliteDatabase final : public Database {
 public:
  SqliteDatabase(sqlite3* db, std::string file) : db_(db), file_(std::move(file)) {}
  ~SqliteDatabase() override {
    statements_.clear();
    sqlite3_close_v2(db_);
  }

  base::Result<> load(const std::function<void(Change)>& row) override {
    std::optional<base::Error> damage;
    each("SELECT repository, digest, size, linked FROM links", damage, [&](Statement& s) {
      row(LinkBlob{s.text(0), s.text(1), static_cast<std::uint64_t>(s.number(2)), s.number(3)});
    });
    each(
        "SELECT repository, digest, media_type, artifact_type, subject, annotations, size, blobs, manifests, pushed "
        "FROM manifests",
        damage, [&](Statement& s) {
          auto blobs = list_of(s.text(7)), manifests = list_of(s.text(8));
          if (!blobs || !manifests) {
            damage = (blobs ? manifests : blobs).error();
            return;
          }
          row(AddManifest{s.text(0), s.text(1), s.text(2), s.text(3), s.text(4), s.text(5),
                          static_cast<std::uint64_t>(s.number(6)), *std::move(blobs), *std::move(manifests),
                          s.number(9)});
        });
    each("SELECT repository, tag, digest, updated FROM tags", damage,
         [&](Statement& s) { row(SetTag{s.text(0), s.text(1), s.text(2), s.number(3)}); });
    each("SELECT id, repository, user FROM uploads", damage,
         [&](Statement& s) { row(AddUpload{s.text(0), s.text(1), s.text(2)}); });
    each("SELECT digest FROM doubts", damage, [&](Statement& s) { row(Doubt{s.text(0)}); });
    if (damage) return std::unexpected(*damage);
    return {};
  }

  base::Result<> commit(const std::vector<Change>& changes) override {
    if (!execute("BEGIN IMMEDIATE")) return error("begin");
    for (const auto& change : changes) {
      if (std::visit([this](const auto& c) { return write(c); }, change)) continue;
      auto failure = error("write");
      statements_.clear();
      execute("ROLLBACK");
      return failure;
    }
    if (execute("COMMIT")) return {};
    auto failure = error("commit");
    execute("ROLLBACK");
    return failure;
  }

 private:
  std::unexpected<base::Error> error(std::string_view doing) const {
    const int code = sqlite3_errcode(db_);
    const auto kind = code == SQLITE_FULL ? ErrorCode::kExhausted : ErrorCode::kInternal;
    return fail(kind, fmt::format("the registry's index {}: {}: {}", file_, doing, sqlite3_errmsg(db_)));
  }
  bool execute(const char* sql) { return sqlite3_exec(db_, sql, nullptr, nullptr, nullptr) == SQLITE_OK; }

  template <class F>
  void each(const char* sql, std::optional<base::Error>& damage, F f) {
    Statement statement(db_, sql);
    while (!damage && statement.step()) f(statement);
    if (!damage && !statement.done()) damage = error("read").error();
  }

  template <class... A>
  bool run(const char* sql, const A&... values) {
    auto& statement = statements_[sql];
    if (!statement) statement = std::make_unique<Statement>(db_, sql);
    return statement->bind(values...).run();
  }

  bool write(const SetTag& c) {
    return run("INSERT OR REPLACE INTO tags VALUES(?,?,?,?)", c.repository, c.tag, c.digest, c.updated);
  }
  bool write(const DropTag& c) { return run("DELETE FROM tags WHERE repository=? AND tag=?", c.repository, c.tag); }
  bool write(const AddManifest& c) {
    const std::string blobs = list_text(c.blobs), manifests = list_text(c.manifests);
    return run("INSERT OR REPLACE INTO manifests VALUES(?,?,?,?,?,?,?,?,?,?)", c.repository, c.digest, c.media_type,
               c.artifact_type, c.subject, c.annotations, c.size, blobs, manifests, c.pushed);
  }
  bool write(const DropManifest& c) {
    return run("DELETE FROM tags WHERE repository=? AND digest=?", c.repository, c.digest) &&
           run("DELETE FROM manifests WHERE repository=? AND digest=?", c.repository, c.digest);
  }
  bool write(const LinkBlob& c) {
    return run("INSERT OR REPLACE INTO links VALUES(?,?,?,?)", c.repository, c.digest, c.size, c.linked);
  }
  bool write(const UnlinkBlob& c) {
    return run("DELETE FROM links WHERE repository=? AND digest=?", c.repository, c.digest);
  }
  bool write(const AddUpload& c) {
    return run("INSERT OR REPLACE INTO uploads VALUES(?,?,?)", c.id, c.repository, c.user);
  }
  bool write(const DropUpload& c) { return run("DELETE FROM uploads WHERE id=?", c.id); }
  bool write(const Doubt& c) { return run("INSERT OR REPLACE INTO doubts VALUES(?)", c.digest); }
  bool write(const Settle& c) { return run("DELETE FROM doubts WHERE digest=?", c.digest); }

  sqlite3* db_;
  std::string file_;
  std::map<std::string_view, std::unique_ptr<Statement>> statements_;  // by the literal they were made of
};

}  // namespace

base::Result<std::unique_ptr<Database>> Database::open(const std::filesystem::path& file) {
  MAINSTAY_TRY(sqlite3* const db, store::open_sqlite(file, kSchema, "the registry's index"));
  return std::make_unique<SqliteDatabase>(db, file.string());
}

}  // namespace mainstay::artifacts
