#include <sqlite3.h>
#include <sys/stat.h>

#include <fstream>

#include "store/conformance/suite.h"

namespace mainstay::store {
namespace {

using base::ErrorCode;

class SqliteHome final : public Home {
 public:
  std::unique_ptr<Dialect> open() override {
    auto opened = open_sqlite(folder_.path() / "state.db");
    EXPECT_TRUE(opened) << opened.error().message;
    return opened ? *std::move(opened) : nullptr;
  }

 private:
  TempFolder folder_;
};

INSTANTIATE_TEST_SUITE_P(Sqlite, BackendSuite,
                         testing::Values(HomeFactory{"sqlite", [] { return std::make_unique<SqliteHome>(); }}));

class SqliteFile : public testing::Test {
 protected:
  std::string file() const { return (folder_.path() / "state.db").string(); }
  void sql(const char* statements) const {
    sqlite3* db = nullptr;
    ASSERT_EQ(sqlite3_open(file().c_str(), &db), SQLITE_OK);
    EXPECT_EQ(sqlite3_exec(db, statements, nullptr, nullptr, nullptr), SQLITE_OK) << sqlite3_errmsg(db);
    sqlite3_close(db);
  }
  static base::Result<> write(Dialect& dialect, std::int64_t revision, std::string value) {
    return dialect.commit(
        {{{"", "pods", "shop", fmt::format("p{}", revision)}, revision, std::move(value), std::nullopt}});
  }
  static Dialect::Loaded load(
      Dialect& dialect, const std::function<void(Dialect::Row)>& row,
      const std::function<void(Dialect::Deletion)>& deletion = [](Dialect::Deletion) {}) {
    auto loaded = dialect.load(row, deletion);
    EXPECT_TRUE(loaded) << loaded.error().message;
    return loaded.value_or(Dialect::Loaded{});
  }

  TempFolder folder_;
};

TEST_F(SqliteFile, IsForItsOwnerOnlyAndForOneProcess) {
  auto first = open_sqlite(file());
  ASSERT_TRUE(first) << first.error().message;
  struct stat info{};
  ASSERT_EQ(stat(file().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  auto second = open_sqlite(file());
  EXPECT_EQ(code_of(second), ErrorCode::kUnavailable);
  first->reset();
  EXPECT_TRUE(open_sqlite(file()));
}

TEST_F(SqliteFile, KeepsJsonReadableForOtherTools) {
  {
    auto dialect = open_sqlite(file());
    ASSERT_TRUE(dialect);
    ASSERT_TRUE(write(**dialect, 7, R"({"spec":{"replicas":3}})"));
    ASSERT_TRUE(write(**dialect, 8, std::string("\0sealed\0", 8)));
  }
  sql("CREATE TABLE seen AS SELECT json_extract(value, '$.spec.replicas') AS n FROM objects WHERE typeof(value) = "
      "'text';"
      "CREATE TABLE blobs AS SELECT count(*) AS n FROM objects WHERE typeof(value) = 'blob';"
      "CREATE TABLE ok(x CHECK (x)); INSERT INTO ok SELECT n = 3 FROM seen; INSERT INTO ok SELECT n = 1 FROM blobs;"
      "INSERT INTO ok SELECT value = 8 FROM meta WHERE key = 'revision'; DROP TABLE ok; DROP TABLE seen; DROP TABLE "
      "blobs");
  auto dialect = open_sqlite(file());
  ASSERT_TRUE(dialect);
  std::vector<std::string> values;
  EXPECT_EQ(load(**dialect, [&](Dialect::Row row) { values.push_back(row.value); }).revision, 8);
  EXPECT_EQ(values, (std::vector<std::string>{R"({"spec":{"replicas":3}})", std::string("\0sealed\0", 8)}));
}

TEST_F(SqliteFile, RefusesWhatIsNotItsOwn) {
  std::ofstream(file()) << std::string(4096, 'x');
  auto rubbish = open_sqlite(file());
  EXPECT_EQ(code_of(rubbish), ErrorCode::kInternal);
  std::filesystem::remove(file());
  sql("CREATE TABLE other(x)");
  EXPECT_EQ(code_of(open_sqlite(file())), ErrorCode::kInvalid);
  std::filesystem::remove(file());
  ASSERT_TRUE(open_sqlite(file()));
  sql("PRAGMA user_version = 99");
  auto newer = open_sqlite(file());
  EXPECT_EQ(code_of(newer), ErrorCode::kInvalid);
  EXPECT_NE(newer.error().message.find("99"), std::string::npos);
  EXPECT_EQ(code_of(open_sqlite(folder_.path() / "missing" / "state.db")), ErrorCode::kUnavailable);
}

TEST_F(SqliteFile, KeepsTheNewestDeletionsAlone) {
  constexpr std::int64_t kMany = 20'000;
  {
    auto dialect = open_sqlite(file());
    ASSERT_TRUE(dialect);
    std::vector<Dialect::Write> batch;
    for (std::int64_t r = 1; r <= kMany; ++r) {
      batch.push_back({{"", "pods", "shop", "p"}, r, std::nullopt, "{}"});
      if (batch.size() < 1000) continue;
      ASSERT_TRUE((*dialect)->commit(batch));
      batch.clear();
    }
  }
  auto dialect = open_sqlite(file());
  ASSERT_TRUE(dialect);
  std::vector<std::int64_t> kept;
  const Dialect::Loaded loaded =
      load(**dialect, [](Dialect::Row) {}, [&](Dialect::Deletion d) { kept.push_back(d.revision); });
  ASSERT_FALSE(kept.empty());
  EXPECT_EQ(kept.back(), kMany);
  EXPECT_LT(kept.size(), 8192u + 1000);
  EXPECT_GT(kept.size(), 6000u);
  EXPECT_EQ(loaded.deletions_since, kept.front() - 1) << "no deletion after that is missing";
  EXPECT_EQ(kept.size(), static_cast<std::size_t>(kMany - loaded.deletions_since));
  // By their size as well.
  std::int64_t revision = kMany;
  for (int i = 0; i < 8; ++i)
    ASSERT_TRUE(
        (*dialect)->commit({{{"", "pods", "shop", "p"}, ++revision, std::nullopt, std::string(3u << 20, 'x')}}));
  dialect->reset();
  dialect = open_sqlite(file());
  ASSERT_TRUE(dialect);
  std::size_t bytes = 0;
  load(**dialect, [](Dialect::Row) {}, [&](Dialect::Deletion d) { bytes += d.last->size(); });
  EXPECT_GE(bytes, 3u << 20);
  EXPECT_LE(bytes, 20u << 20);
}

TEST_F(SqliteFile, AFileOfTheFirstVersionIsTakenOver) {
  sql("CREATE TABLE objects(grp TEXT NOT NULL, resource TEXT NOT NULL, ns TEXT NOT NULL, name TEXT NOT NULL,"
      "revision INTEGER NOT NULL, value ANY NOT NULL, PRIMARY KEY(grp, resource, ns, name)) STRICT, WITHOUT ROWID;"
      "CREATE TABLE meta(key TEXT PRIMARY KEY NOT NULL, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
      "INSERT INTO meta VALUES('revision', 7); INSERT INTO objects VALUES('', 'pods', 'shop', 'web', 5, '{}');"
      "PRAGMA application_id = 1296978772; PRAGMA user_version = 1;");
  for (int start = 0; start < 2; ++start) {
    auto dialect = open_sqlite(file());
    ASSERT_TRUE(dialect) << dialect.error().message;
    std::size_t rows = 0;
    const Dialect::Loaded loaded = load(**dialect, [&](Dialect::Row) { ++rows; });
    EXPECT_EQ(rows, 1u);
    EXPECT_EQ(loaded.revision, 7);
    EXPECT_EQ(loaded.deletions_since, 7) << "what was deleted before is not known";
  }
  async::Runtime runtime(1);
  base::Metrics metrics;
  auto dialect = open_sqlite(file());
  ASSERT_TRUE(dialect);
  Backend backend(runtime, *std::move(dialect), {}, metrics);
  ASSERT_TRUE(backend.load());
  for (const char* resource : {"pods", "nodes"})
    EXPECT_EQ(backend.changed_at("", resource), 7) << "nor whether they were as they are at an earlier revision";
}

TEST_F(SqliteFile, AFullDiskFailsWritesUntilThereIsRoom) {
  const SmallDisk disk(folder_.path() / "disk", "1m");
  if (!disk) GTEST_SKIP() << "may not mount a tmpfs here";
  const auto path = folder_.path() / "disk" / "state.db", ballast = folder_.path() / "disk" / "ballast";
  auto dialect = open_sqlite(path);
  ASSERT_TRUE(dialect) << dialect.error().message;
  ASSERT_TRUE(write(**dialect, 1, R"({"kept":1})"));
  std::ofstream(ballast) << std::string(1u << 20, 'x');  // as much as fits
  std::int64_t revision = 2;
  base::Result<> result;
  for (int i = 0; i < 100 && result; ++i)
    result = write(**dialect, revision++, "{\"x\":\"" + std::string(16384, 'y') + "\"}");
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kExhausted) << result.error().message;
  const std::int64_t failed = revision - 1;
  EXPECT_FALSE(write(**dialect, revision++, "{\"x\":\"" + std::string(16384, 'y') + "\"}"));
  std::filesystem::remove(ballast);
  auto again = write(**dialect, revision, R"({"again":1})");
  EXPECT_TRUE(again) << again.error().message;
  dialect->reset();
  dialect = open_sqlite(path);
  ASSERT_TRUE(dialect);
  std::set<std::int64_t> revisions;
  EXPECT_EQ(load(**dialect, [&](Dialect::Row row) { revisions.insert(row.revision); }).revision, revision);
  EXPECT_TRUE(revisions.contains(1) && revisions.contains(revision));
  EXPECT_FALSE(revisions.contains(failed));
}

}  // namespace
}  // namespace mainstay::store
