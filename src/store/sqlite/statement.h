// SQLite for indexes of a capability's own: opening one, and a prepared statement. Whoever uses them keeps to one
// thread at a time.
#pragma once
#include <sqlite3.h>

#include <cstdint>
#include <filesystem>
#include <string>

#include "base/result.h"

namespace mainstay::store {

// Opens the file, made where it is not there, and runs the schema. The caller closes it (sqlite3_close_v2). kInternal
// with SQLite's words; `what` names the file to people.
base::Result<sqlite3*> open_sqlite(const std::filesystem::path& file, const char* schema, std::string_view what);

class Statement {
 public:
  // An error of SQL shows at the first step.
  Statement(sqlite3* db, const char* sql);
  ~Statement() { sqlite3_finalize(statement_); }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  // Bytes that are compared as such.
  struct Blob {
    const std::string& bytes;
  };
  // Begins anew with these values from the first parameter on. They are copied.
  template <class... A>
  Statement& bind(const A&... values) {
    if (statement_ != nullptr) {
      sqlite3_reset(statement_);
      status_ = SQLITE_OK;
    }
    int at = 0;
    (bind_one(++at, values), ...);
    return *this;
  }
  // True where there is a row.
  bool step() {
    if (status_ == SQLITE_OK || status_ == SQLITE_ROW) status_ = sqlite3_step(statement_);
    return status_ == SQLITE_ROW;
  }
  // After the last row; false where a step failed.
  bool done() const { return status_ == SQLITE_DONE; }
  // For what gives no rows: whether it was done.
  bool run();
  std::string text(int column) const;
  std::int64_t number(int column) const { return sqlite3_column_int64(statement_, column); }
  std::uint64_t size(int column) const { return static_cast<std::uint64_t>(number(column)); }

 private:
  void bind_one(int at, const std::string& value);
  void bind_one(int at, const Blob& value);
  void bind_one(int at, std::int64_t value);
  void bind_one(int at, std::uint64_t value) { bind_one(at, static_cast<std::int64_t>(value)); }
  void bind_one(int at, int value) { bind_one(at, static_cast<std::int64_t>(value)); }

  sqlite3_stmt* statement_ = nullptr;
  int status_ = SQLITE_OK;
};

}  // namespace mainstay::store
