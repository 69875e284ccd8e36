#include "capabilities/provenance/vulnerabilities.h"

#include <archive.h>
#include <archive_entry.h>

#include <algorithm>
#include <map>

#include "base/files.h"
#include "base/strings.h"
#include "capabilities/provenance/advisories.h"
#include "store/sqlite/statement.h"

namespace mainstay::provenance {

using base::ErrorCode;
using base::fail;

namespace {

constexpr std::size_t kMaxFile = 512u << 20, kMaxEntry = 8u << 20, kMaxEntries = 1'000'000;
constexpr std::size_t kMaxWhole = 64u << 20;  // of JSON that is parsed in one piece

constexpr const char* kSchema = R"sql(
PRAGMA journal_mode=WAL;
PRAGMA synchronous=FULL;
CREATE TABLE IF NOT EXISTS advisories(source TEXT, id TEXT, title TEXT NOT NULL, severity TEXT NOT NULL,
  link TEXT NOT NULL, PRIMARY KEY(source, id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS affected(ecosystem TEXT, name TEXT, source TEXT, id TEXT, severity TEXT, introduced TEXT,
  fixed TEXT, last TEXT, exact TEXT,
  PRIMARY KEY(ecosystem, name, source, id, introduced, fixed, last, exact)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS affected_of ON affected(source, id);
CREATE TABLE IF NOT EXISTS facts(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
)sql";

using store::Statement;

// Writes advisories within one transaction.
class Writer {
 public:
  Writer(sqlite3* db, std::string source) : db_(db), source_(std::move(source)) {}

  void add(const Advisory& advisory) {
    // An OSV entry is replaced as a whole, under whatever CVE it was known, and leaves others of that CVE alone. A CVE
    // of the tracker comes once a package: what it replaced has gone at the start.
    const std::string source = source_ == "debian" ? source_ : source_ + ":" + advisory.entry;
    if (source_ != "debian") good_ = good_ && drop_ranges_.bind(source).run() && drop_.bind(source).run();
    if (advisory.withdrawn) return;
    good_ = good_ && insert_.bind(source, advisory.id, advisory.title, advisory.severity, advisory.link).run();
    ++out.advisories;
    for (const Affected& affected : advisory.affected)
      for (const AffectedRange& range : affected.ranges) {
        good_ = good_ && range_
                             .bind(affected.ecosystem, affected.name, source, advisory.id, affected.severity,
                                   range.introduced, range.fixed, range.last, range.exact)
                             .run();
        ++out.ranges;
      }
  }
  bool good() const { return good_; }
  Vulnerabilities::Imported out;

 private:
  sqlite3* db_;
  std::string source_;
  bool good_ = true;
  Statement drop_ranges_{db_, "DELETE FROM affected WHERE source = ?"};
  Statement drop_{db_, "DELETE FROM advisories WHERE source = ?"};
  Statement insert_{db_, "INSERT OR REPLACE INTO advisories VALUES(?, ?, ?, ?, ?)"};
  Statement range_{db_, "INSERT OR REPLACE INTO affected VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)"};
};

base::Result<> add_osv(const base::json::value& value, Writer& writer) {
  if (value.is_array()) {
    for (const auto& item : value.as_array()) MAINSTAY_TRY_VOID(add_osv(item, writer));
    return {};
  }
  const auto advisory = parse_osv(value);
  if (!advisory) return fail(ErrorCode::kInvalid, "an entry is not OSV: it has no id or no affected packages");
  writer.add(*advisory);
  return {};
}

struct ArchiveCloser {
  void operator()(archive* a) const { archive_read_free(a); }
};

base::Result<> import_zip(const std::filesystem::path& file, Writer& writer) {
  std::unique_ptr<archive, ArchiveCloser> a(archive_read_new());
  archive_read_support_format_zip(a.get());
  const auto damaged = [&] {
    const char* why = archive_error_string(a.get());
    return fail(ErrorCode::kInvalid, fmt::format("the zip cannot be read: {}", why == nullptr ? "damaged" : why));
  };
  if (archive_read_open_filename(a.get(), file.c_str(), 64 * 1024) != ARCHIVE_OK) return damaged();
  archive_entry* entry = nullptr;
  std::size_t entries = 0;
  std::string text;
  while (true) {
    const int status = archive_read_next_header(a.get(), &entry);
    if (status == ARCHIVE_EOF) break;
    if (status < ARCHIVE_WARN) return damaged();
    if (++entries > kMaxEntries) return fail(ErrorCode::kTooLarge, "the zip has more than a million entries");
    const char* name = archive_entry_pathname(entry);
    if (name == nullptr || !std::string_view(name).ends_with(".json")) continue;
    text.clear();
    char buffer[16 * 1024];
    while (true) {
      const auto n = archive_read_data(a.get(), buffer, sizeof buffer);
      if (n < 0) return damaged();
      if (n == 0) break;
      text.append(buffer, static_cast<std::size_t>(n));
      if (text.size() > kMaxEntry) return fail(ErrorCode::kTooLarge, fmt::format("{} is over 8 MiB", name));
    }
    const auto value = base::parse_json(text, 32);
    if (!value) return fail(ErrorCode::kInvalid, fmt::format("{}: {}", name, value.error().message));
    MAINSTAY_TRY_VOID(add_osv(*value, writer));
  }
  return {};
}

void exec(sqlite3* db, const char* sql) { sqlite3_exec(db, sql, nullptr, nullptr, nullptr); }

}  // namespace

base::Result<std::shared_ptr<Vulnerabilities>> Vulnerabilities::open(const std::filesystem::path& folder) {
  MAINSTAY_TRY_VOID(base::make_directories(folder, 0700));
  MAINSTAY_TRY(sqlite3* const db,
               store::open_sqlite(folder / "data.db", kSchema,
                                  "the vulnerability data (which may be deleted and imported again)"));
  std::shared_ptr<Vulnerabilities> out(new Vulnerabilities(db));
  Statement revision(db, "SELECT value FROM facts WHERE name = 'revision'");
  if (revision.step()) out->revision_ = revision.number(0);
  return out;
}

Vulnerabilities::~Vulnerabilities() { sqlite3_close(db_); }

std::int64_t Vulnerabilities::advisories() {
  const std::scoped_lock lock(mutex_);
  Statement count(db_, "SELECT count(*) FROM advisories");
  return count.step() ? count.number(0) : 0;
}

base::Result<Vulnerabilities::Imported> Vulnerabilities::import(const std::filesystem::path& file) {
  std::error_code error;
  const auto size = std::filesystem::file_size(file, error);
  if (error) return fail(ErrorCode::kInvalid, fmt::format("the file cannot be read: {}", error.message()));
  if (size == 0) return fail(ErrorCode::kInvalid, "the file is empty");
  if (size > kMaxFile) return fail(ErrorCode::kTooLarge, "the file is over 512 MiB");
  std::string text;
  {
    MAINSTAY_TRY(text, base::read_file(file, kMaxFile));
  }
  const bool zip = text.starts_with("PK");
  base::Result<base::json::value> whole = fail(ErrorCode::kTooLarge, "");
  if (!zip && text.size() <= kMaxWhole) whole = base::parse_json(text, 32);
  const bool osv = zip || (whole && (whole->is_array() || !base::get_string(*whole, "id").empty()));
  const std::scoped_lock lock(mutex_);
  exec(db_, "BEGIN IMMEDIATE");
  Writer writer(db_, osv ? "osv" : "debian");
  writer.out.format = osv ? "osv" : "debian";
  base::Result<> read;
  if (zip) {
    read = import_zip(file, writer);
  } else if (osv) {
    read = add_osv(*whole, writer);
  } else {
    whole = fail(ErrorCode::kInternal, "");  // its memory goes
    exec(db_, "DELETE FROM affected WHERE source = 'debian'; DELETE FROM advisories WHERE source = 'debian'");
    read = parse_debian_tracker(text, [&](const Advisory& advisory) { writer.add(advisory); });
  }
  if (read && writer.out.advisories == 0 && !osv) read = fail(ErrorCode::kInvalid, "there is no advisory in the file");
  if (read && !writer.good()) read = fail(ErrorCode::kInternal, sqlite3_errmsg(db_));
  if (!read) {
    exec(db_, "ROLLBACK");
    return std::unexpected(read.error());
  }
  exec(db_, "INSERT INTO facts VALUES('revision', 1) ON CONFLICT(name) DO UPDATE SET value = value + 1");
  if (sqlite3_exec(db_, "COMMIT", nullptr, nullptr, nullptr) != SQLITE_OK) {
    const std::string why = sqlite3_errmsg(db_);
    exec(db_, "ROLLBACK");
    return fail(ErrorCode::kInternal, why);
  }
  ++revision_;
  return writer.out;
}

std::pair<std::string, std::string> osv_package(const Package& package, const OsRelease& os) {
  if (package.type == "deb" && os.id == "debian")
    return {"Debian:" + os.version_id.substr(0, os.version_id.find('.')),
            package.source.empty() ? package.name : package.source};
  if (package.type == "apk" && os.id == "alpine") {
    // OSV has a list for each stable branch, "Alpine:v3.20"; edge (3.21_alpha…) has none.
    const auto parts = base::split(os.version_id, '.');
    const auto number = [](std::string_view text) {
      return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
    };
    if (parts.size() < 2 || !number(parts[0]) || !number(parts[1])) return {};
    return {fmt::format("Alpine:v{}.{}", parts[0], parts[1]), package.source.empty() ? package.name : package.source};
  }
  if (package.type == "npm") return {"npm", package.name};
  if (package.type == "golang") return {"Go", package.name};
  if (package.type == "cargo") return {"crates.io", package.name};
  if (package.type == "pypi") {
    std::string name;  // PEP 503
    for (const char c : base::lower(package.name)) {
      const bool separator = c == '-' || c == '_' || c == '.';
      if (!separator) name += c;
      if (separator && !name.ends_with('-')) name += '-';
    }
    return {"PyPI", name};
  }
  return {};
}

base::Result<std::vector<Finding>> Vulnerabilities::match(const ImagePackages& image) {
  std::map<std::tuple<std::string, std::string, std::string>, Finding> found;
  const std::scoped_lock lock(mutex_);
  Statement query(
      db_,
      "SELECT a.id, a.severity, a.introduced, a.fixed, a.last, a.exact, v.title, v.severity, v.link FROM "
      "affected a JOIN advisories v ON v.source = a.source AND v.id = a.id WHERE a.ecosystem = ? AND a.name "
      "IN (?, ?)");
  for (const Package& package : image.packages) {
    const auto [ecosystem, name] = osv_package(package, image.os);
    if (ecosystem.empty()) continue;
    // Alpine's advisories speak of source packages, too, but some of a package by its own name.
    const std::string& other = package.type == "apk" ? package.name : name;
    // Debian's advisories speak of source packages.
    const std::string& version =
        package.type == "deb" && !package.source_version.empty() ? package.source_version : package.version;
    query.bind(ecosystem, name, other);
    while (query.step()) {
      const AffectedRange range{query.text(2), query.text(3), query.text(4), query.text(5)};
      if (!in_range(ecosystem, version, range)) continue;
      Finding finding{query.text(0), query.text(1), package.name,  package.version,
                      package.type,  range.fixed,   query.text(8), query.text(6)};
      if (finding.severity.empty()) finding.severity = query.text(7);
      Finding& known = found[{finding.id, package.name, package.version}];
      if (known.id.empty() || severity_rank(finding.severity) > severity_rank(known.severity)) known = finding;
    }
  }
  std::vector<Finding> out;
  for (auto& [key, finding] : found) out.push_back(std::move(finding));
  std::ranges::sort(out, [](const Finding& a, const Finding& b) {
    const int x = severity_rank(a.severity), y = severity_rank(b.severity);
    return x != y ? x > y : std::tie(a.id, a.package) < std::tie(b.id, b.package);
  });
  return out;
}

}  // namespace mainstay::provenance
