#include "capabilities/cloud/buckets/index.h"

#include <fmt/core.h>

#include "store/sqlite/statement.h"

namespace mainstay::cloud {
using base::ErrorCode;
using base::fail;
namespace {

// A blob's references: one row for each object or part that has it. `number` orders an object's.
constexpr const char* kSchema = R"sql(
PRAGMA journal_mode=WAL;
PRAGMA synchronous=FULL;
CREATE TABLE IF NOT EXISTS objects(bucket TEXT, key BLOB, etag TEXT NOT NULL, headers TEXT NOT NULL, size INTEGER NOT NULL,
  modified INTEGER NOT NULL, PRIMARY KEY(bucket, key)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS blobs(bucket TEXT, key BLOB, number INTEGER, digest TEXT NOT NULL, size INTEGER NOT NULL,
  PRIMARY KEY(bucket, key, number)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS blobs_digest ON blobs(digest);
CREATE TABLE IF NOT EXISTS uploads(id TEXT PRIMARY KEY, bucket TEXT NOT NULL, key BLOB NOT NULL, headers TEXT NOT NULL,
  begun INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS parts(upload TEXT, number INTEGER, etag TEXT NOT NULL, digest TEXT NOT NULL, size INTEGER NOT NULL,
  modified INTEGER NOT NULL, PRIMARY KEY(upload, number)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS parts_digest ON parts(digest);
CREATE TABLE IF NOT EXISTS usage(bucket TEXT PRIMARY KEY, objects INTEGER NOT NULL, bytes INTEGER NOT NULL) WITHOUT ROWID;
)sql";

constexpr std::uint64_t kMostUploads = 1000;  // of a bucket: what one listing shows

using store::Statement;
using Key = Statement::Blob;  // keys are compared by their bytes

// The first text after all that begin with `prefix`; "" where there is none.
std::string after_prefix(std::string prefix) {
  while (!prefix.empty() && static_cast<unsigned char>(prefix.back()) == 0xFF) prefix.pop_back();
  if (!prefix.empty()) prefix.back() = static_cast<char>(static_cast<unsigned char>(prefix.back()) + 1);
  return prefix;
}

S3Object row(const Statement& s) {
  S3Object out;
  out.key = s.text(0);
  out.etag = s.text(1);
  out.headers = s.text(2);
  out.size = s.size(3);
  out.modified = s.number(4);
  return out;
}

}  // namespace

base::Result<std::shared_ptr<BucketIndex>> BucketIndex::open(const std::filesystem::path& file) {
  MAINSTAY_TRY(sqlite3* const db, store::open_sqlite(file, kSchema, "the buckets' index"));
  return std::shared_ptr<BucketIndex>(new BucketIndex(db));
}

BucketIndex::~BucketIndex() { sqlite3_close_v2(db_); }

std::unexpected<base::Error> BucketIndex::error(std::string_view doing) const {
  const auto kind = sqlite3_errcode(db_) == SQLITE_FULL ? ErrorCode::kExhausted : ErrorCode::kInternal;
  return fail(kind, fmt::format("the buckets' index: {}: {}", doing, sqlite3_errmsg(db_)));
}

base::Result<> BucketIndex::transaction(const std::function<base::Result<>()>& body) {
  const std::lock_guard lock(mutex_);
  const auto run = [this](const char* sql) { return sqlite3_exec(db_, sql, nullptr, nullptr, nullptr) == SQLITE_OK; };
  if (!run("BEGIN IMMEDIATE")) return error("begin");
  auto done = body();
  if (done && !run("COMMIT")) done = error("commit");
  if (!done) run("ROLLBACK");
  return done;
}

base::Result<BucketUsage> BucketIndex::usage(const std::string& id) {
  const std::lock_guard lock(mutex_);
  Statement s(db_, "SELECT objects, bytes FROM usage WHERE bucket=?");
  s.bind(id);
  BucketUsage out;
  if (s.step()) out = {s.size(0), s.size(1)};
  return out;
}

base::Result<std::optional<S3Object>> BucketIndex::find(const std::string& id, const std::string& key) {
  const std::lock_guard lock(mutex_);
  Statement s(db_, "SELECT key, etag, headers, size, modified FROM objects WHERE bucket=? AND key=?");
  s.bind(id, Key{key});
  if (!s.step()) {
    if (!s.done()) return error("read");
    return std::optional<S3Object>();
  }
  S3Object out = row(s);
  Statement b(db_, "SELECT digest, size FROM blobs WHERE bucket=? AND key=? ORDER BY number");
  b.bind(id, Key{key});
  while (b.step()) out.parts.push_back({b.text(0), b.size(1)});
  if (!b.done()) return error("read");
  return std::optional<S3Object>(std::move(out));
}

// Inside a transaction.
base::Result<> BucketIndex::forget(const std::string& id, const std::string& key, std::vector<std::string>& freed) {
  Statement size(db_, "SELECT size FROM objects WHERE bucket=? AND key=?");
  size.bind(id, Key{key});
  if (!size.step()) return {};
  const std::int64_t bytes = size.number(0);
  Statement blobs(db_, "SELECT digest FROM blobs WHERE bucket=? AND key=?");
  blobs.bind(id, Key{key});
  while (blobs.step()) freed.push_back(blobs.text(0));
  const bool ok =
      Statement(db_, "DELETE FROM blobs WHERE bucket=? AND key=?").bind(id, Key{key}).run() &&
      Statement(db_, "DELETE FROM objects WHERE bucket=? AND key=?").bind(id, Key{key}).run() &&
      Statement(db_, "UPDATE usage SET objects=objects-1, bytes=bytes-? WHERE bucket=?").bind(bytes, id).run();
  if (!ok) return error("delete");
  return {};
}

base::Result<> BucketIndex::store(const std::string& id, const S3Object& o, std::uint64_t quota,
                                  std::vector<std::string>& freed) {
  MAINSTAY_TRY_VOID(forget(id, o.key, freed));
  bool ok = Statement(db_, "INSERT INTO objects VALUES(?,?,?,?,?,?)")
                .bind(id, Key{o.key}, o.etag, o.headers, o.size, o.modified)
                .run();
  int number = 0;
  for (const BlobPart& part : o.parts)
    ok = ok && Statement(db_, "INSERT INTO blobs VALUES(?,?,?,?,?)")
                   .bind(id, Key{o.key}, number++, part.digest, part.size)
                   .run();
  ok = ok && Statement(db_,
                       "INSERT INTO usage VALUES(?,1,?) ON CONFLICT(bucket) DO UPDATE SET objects=objects+1, "
                       "bytes=bytes+excluded.bytes")
                 .bind(id, o.size)
                 .run();
  if (!ok) return error("write");
  return check_quota(id, quota);
}

// Parts take room before they are an object, too.
base::Result<> BucketIndex::check_quota(const std::string& id, std::uint64_t quota) {
  if (quota == 0) return {};
  Statement total(db_,
                  "SELECT ifnull((SELECT bytes FROM usage WHERE bucket=?1), 0) + ifnull((SELECT sum(size) FROM parts "
                  "WHERE upload IN (SELECT id FROM uploads WHERE bucket=?1)), 0)");
  total.bind(id);
  if (total.step() && total.size(0) > quota)
    return fail(ErrorCode::kExhausted,
                fmt::format("the bucket may hold {} bytes, with the parts of uploads under way", quota));
  return {};
}

base::Result<> BucketIndex::put(const std::string& id, const S3Object& object, bool only_new, std::uint64_t quota,
                                std::vector<std::string>& freed) {
  return transaction([&]() -> base::Result<> {
    if (only_new && Statement(db_, "SELECT 1 FROM objects WHERE bucket=? AND key=?").bind(id, Key{object.key}).step())
      return fail(ErrorCode::kConflict, "the object is there already");
    return store(id, object, quota, freed);
  });
}

base::Result<> BucketIndex::erase(const std::string& id, const std::vector<std::string>& keys,
                                  std::vector<std::string>& freed) {
  return transaction([&]() -> base::Result<> {
    for (const std::string& key : keys) MAINSTAY_TRY_VOID(forget(id, key, freed));
    return {};
  });
}

base::Result<S3Listing> BucketIndex::list(const std::string& id, const std::string& prefix,
                                          const std::string& delimiter, const std::string& after, std::size_t limit) {
  const std::lock_guard lock(mutex_);
  S3Listing out;
  const std::string end = after_prefix(prefix);
  // `from` is where to look next; inclusive once a common prefix was jumped over.
  std::string from = std::max(after, prefix);
  bool inclusive = prefix > after || after.empty();
  if (!delimiter.empty() && !after.empty() && after.starts_with(prefix)) {
    // A listing that ended with a common prefix goes on after all that begin with it.
    const auto cut = after.find(delimiter, prefix.size());
    if (cut != std::string::npos && cut + delimiter.size() == after.size()) {
      from = after_prefix(after);
      inclusive = true;
    }
  }
  while (out.objects.size() + out.prefixes.size() <= limit) {
    Statement s(db_, inclusive
                         ? "SELECT key, etag, headers, size, modified FROM objects WHERE bucket=? AND key>=? ORDER BY "
                           "key LIMIT 1001"
                         : "SELECT key, etag, headers, size, modified FROM objects WHERE bucket=? AND key>? ORDER BY "
                           "key LIMIT 1001");
    s.bind(id, Key{from});
    std::size_t rows = 0;
    bool jumped = false;
    while (!jumped && s.step()) {
      ++rows;
      const std::string key = s.text(0);
      if (!end.empty() && key >= end) return out;
      if (out.objects.size() + out.prefixes.size() == limit) {
        out.next = std::max(out.objects.empty() ? "" : out.objects.back().key,
                            out.prefixes.empty() ? "" : out.prefixes.back());
        return out;
      }
      const auto cut = delimiter.empty() ? std::string::npos : key.find(delimiter, prefix.size());
      if (cut == std::string::npos) {
        out.objects.push_back(row(s));
        from = key;
        inclusive = false;
      } else {
        out.prefixes.push_back(key.substr(0, cut + delimiter.size()));
        from = after_prefix(out.prefixes.back());
        inclusive = true;
        jumped = true;
      }
    }
    if (!jumped && !s.done() && rows == 0) return error("list");
    if (!jumped && rows < 1001) return out;
    if (jumped && from.empty()) return out;
  }
  return out;
}

base::Result<> BucketIndex::begin_upload(const std::string& id, const S3Upload& u) {
  return transaction([&]() -> base::Result<> {
    Statement under_way(db_, "SELECT count(*) FROM uploads WHERE bucket=?");
    under_way.bind(id);
    if (under_way.step() && under_way.size(0) >= kMostUploads)
      return fail(ErrorCode::kExhausted,
                  fmt::format("{} uploads are under way in this bucket: complete or abort some", kMostUploads));
    if (!Statement(db_, "INSERT INTO uploads VALUES(?,?,?,?,?)").bind(u.id, id, Key{u.key}, u.headers, u.begun).run())
      return error("write");
    return {};
  });
}

base::Result<std::optional<S3Upload>> BucketIndex::find_upload(const std::string& id, const std::string& upload) {
  const std::lock_guard lock(mutex_);
  Statement s(db_, "SELECT id, key, headers, begun FROM uploads WHERE id=? AND bucket=?");
  s.bind(upload, id);
  if (s.step()) return std::optional<S3Upload>(S3Upload{s.text(0), s.text(1), s.text(2), s.number(3)});
  if (!s.done()) return error("read");
  return std::optional<S3Upload>();
}

base::Result<std::vector<S3Upload>> BucketIndex::uploads(const std::string& id, std::size_t limit) {
  const std::lock_guard lock(mutex_);
  Statement s(db_, "SELECT id, key, headers, begun FROM uploads WHERE bucket=? ORDER BY key LIMIT ?");
  s.bind(id, static_cast<std::int64_t>(limit));
  std::vector<S3Upload> out;
  while (s.step()) out.push_back({s.text(0), s.text(1), s.text(2), s.number(3)});
  return out;
}

base::Result<> BucketIndex::put_part(const std::string& id, const std::string& upload, const S3Part& p,
                                     std::uint64_t quota, std::vector<std::string>& freed) {
  return transaction([&]() -> base::Result<> {
    if (!Statement(db_, "SELECT 1 FROM uploads WHERE id=? AND bucket=?").bind(upload, id).step())
      return fail(ErrorCode::kNotFound, "the upload is gone");
    Statement old(db_, "SELECT digest FROM parts WHERE upload=? AND number=?");
    old.bind(upload, p.number);
    if (old.step()) freed.push_back(old.text(0));
    if (!Statement(db_, "INSERT OR REPLACE INTO parts VALUES(?,?,?,?,?,?)")
             .bind(upload, p.number, p.etag, p.digest, p.size, p.modified)
             .run())
      return error("write");
    return check_quota(id, quota);
  });
}

base::Result<std::vector<S3Part>> BucketIndex::parts(const std::string& upload) {
  const std::lock_guard lock(mutex_);
  Statement s(db_, "SELECT number, etag, digest, size, modified FROM parts WHERE upload=? ORDER BY number");
  s.bind(upload);
  std::vector<S3Part> out;
  while (s.step()) out.push_back({static_cast<int>(s.number(0)), s.text(1), s.text(2), s.size(3), s.number(4)});
  if (!s.done()) return error("read");
  return out;
}

base::Result<> BucketIndex::complete(const std::string& id, const std::string& upload, const S3Object& object,
                                     std::uint64_t quota, std::vector<std::string>& freed) {
  return transaction([&]() -> base::Result<> {
    Statement parts(db_, "SELECT digest FROM parts WHERE upload=?");
    parts.bind(upload);
    std::set<std::string> there;
    while (parts.step()) there.insert(parts.text(0));
    freed.insert(freed.end(), there.begin(), there.end());
    if (!Statement(db_, "DELETE FROM parts WHERE upload=?").bind(upload).run() ||
        !Statement(db_, "DELETE FROM uploads WHERE id=?").bind(upload).run())
      return error("write");
    if (sqlite3_changes(db_) == 0) return fail(ErrorCode::kNotFound, "the upload is gone");
    // What was read of the parts may be of a moment ago: the bytes of one that came anew since are not kept.
    for (const BlobPart& part : object.parts)
      if (!there.contains(part.digest))
        return fail(ErrorCode::kConflict, "a part was uploaded anew while the upload was completed: complete it again");
    return store(id, object, quota, freed);
  });
}

base::Result<> BucketIndex::abort(const std::string& upload, std::vector<std::string>& freed) {
  return transaction([&]() -> base::Result<> {
    Statement parts(db_, "SELECT digest FROM parts WHERE upload=?");
    parts.bind(upload);
    while (parts.step()) freed.push_back(parts.text(0));
    if (!Statement(db_, "DELETE FROM parts WHERE upload=?").bind(upload).run() ||
        !Statement(db_, "DELETE FROM uploads WHERE id=?").bind(upload).run())
      return error("write");
    return {};
  });
}

base::Result<std::vector<std::string>> BucketIndex::stale_uploads(std::int64_t before) {
  const std::lock_guard lock(mutex_);
  Statement s(db_, "SELECT id FROM uploads WHERE begun<? LIMIT 1000");
  s.bind(before);
  std::vector<std::string> out;
  while (s.step()) out.push_back(s.text(0));
  return out;
}

base::Result<> BucketIndex::drop_bucket(const std::string& id, std::vector<std::string>& freed) {
  return transaction([&]() -> base::Result<> {
    for (const char* sql : {"SELECT digest FROM blobs WHERE bucket=?",
                            "SELECT digest FROM parts WHERE upload IN (SELECT id FROM uploads WHERE bucket=?)"}) {
      Statement s(db_, sql);
      s.bind(id);
      while (s.step()) freed.push_back(s.text(0));
    }
    for (const char* sql : {"DELETE FROM parts WHERE upload IN (SELECT id FROM uploads WHERE bucket=?)",
                            "DELETE FROM uploads WHERE bucket=?", "DELETE FROM blobs WHERE bucket=?",
                            "DELETE FROM objects WHERE bucket=?", "DELETE FROM usage WHERE bucket=?"})
      if (!Statement(db_, sql).bind(id).run()) return error("delete");
    return {};
  });
}

bool BucketIndex::is_used(const std::string& digest) {
  const std::lock_guard lock(mutex_);
  Statement a(db_, "SELECT 1 FROM blobs WHERE digest=? LIMIT 1"), b(db_, "SELECT 1 FROM parts WHERE digest=? LIMIT 1");
  const bool used = a.bind(digest).step() || b.bind(digest).step();
  // Where it cannot be read, nothing is taken for unused.
  return used || !a.done() || !b.done();
}

}  // namespace mainstay::cloud
