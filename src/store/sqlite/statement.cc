#include "store/sqlite/statement.h"

#include <fmt/format.h>

namespace mainstay::store {
namespace {

constexpr int kBusyMilliseconds = 5000;

}  // namespace

base::Result<sqlite3*> open_sqlite(const std::filesystem::path& file, const char* schema, std::string_view what) {
  sqlite3* db = nullptr;
  const int status =
      sqlite3_open_v2(file.c_str(), &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
  if (status != SQLITE_OK || sqlite3_exec(db, schema, nullptr, nullptr, nullptr) != SQLITE_OK) {
    const std::string why = db == nullptr ? "out of memory" : sqlite3_errmsg(db);
    sqlite3_close_v2(db);
    return base::fail(base::ErrorCode::kInternal, fmt::format("{} {}: {}", what, file.string(), why));
  }
  sqlite3_busy_timeout(db, kBusyMilliseconds);
  return db;
}

Statement::Statement(sqlite3* db, const char* sql) {
  status_ = sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement_, nullptr);
}

bool Statement::run() {
  step();
  if (!done()) return false;
  // Ends what the statement holds: a statement that is kept must not keep a lock.
  status_ = sqlite3_reset(statement_);
  return status_ == SQLITE_OK;
}

std::string Statement::text(int column) const {
  const void* bytes = sqlite3_column_blob(statement_, column);
  const auto size = static_cast<std::size_t>(sqlite3_column_bytes(statement_, column));
  return bytes == nullptr ? std::string() : std::string(static_cast<const char*>(bytes), size);
}

void Statement::bind_one(int at, const std::string& value) {
  if (status_ == SQLITE_OK)
    status_ = sqlite3_bind_text(statement_, at, value.data(), static_cast<int>(value.size()), SQLITE_TRANSIENT);
}

void Statement::bind_one(int at, const Blob& value) {
  if (status_ == SQLITE_OK)
    status_ =
        sqlite3_bind_blob(statement_, at, value.bytes.data(), static_cast<int>(value.bytes.size()), SQLITE_TRANSIENT);
}

void Statement::bind_one(int at, std::int64_t value) {
  if (status_ == SQLITE_OK) status_ = sqlite3_bind_int64(statement_, at, value);
}

}  // namespace mainstay::store
