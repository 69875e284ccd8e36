#include "capabilities/provenance/vulnerabilities.h"

#include <archive.h>
#include <archive_entry.h>

#include <algorithm>
#include <map>

#include "base/files.h"
#include "base/mapped_file.h"
#include "base/strings.h"
#include "capabilities/provenance/advisories.h"
#include "store/sqlite/statement.h"

namespace mainstay::provenance {

using base::ErrorCode;
using base::fail;

namespace {

constexpr std::size_t kMaxFile = 512u << 20, kMaxEntries = 1'000'000;
constexpr std::size_t kMaxUnpacked = 8ull << 30;  // of a zip's entries together

constexpr const char* kSchema = R"sql(
PRAGMA journal_mode=WAL;
PRAGMA synchronous=FULL;
PRAGMA journal_size_limit=67108864;
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
    if (advisory.withdrawn || advisory.affected.empty()) return;
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

struct ArchiveCloser {
  void operator()(archive* a) const { archive_read_free(a); }
};

// One entry of the zip, as text.
base::Result<std::string> read_entry(archive* a, const std::string& name, std::size_t& unpacked) {
  std::string text;
  char buffer[64 * 1024];
  while (true) {
    const auto n = archive_read_data(a, buffer, sizeof buffer);
    if (n < 0)
      return fail(ErrorCode::kInvalid, fmt::format("{} cannot be unpacked: {}", name, archive_error_string(a)));
    if (n == 0) return text;
    text.append(buffer, static_cast<std::size_t>(n));
    unpacked += static_cast<std::size_t>(n);
    if (text.size() > kMaxOsvEntry) return fail(ErrorCode::kTooLarge, fmt::format("{} is over 8 MiB", name));
    if (unpacked > kMaxUnpacked) return fail(ErrorCode::kTooLarge, "the zip unpacks to over 8 GiB");
  }
}

// As osv.dev publishes it: one JSON an entry.
base::Result<> import_zip(std::string_view zip, Writer& writer) {
  std::unique_ptr<archive, ArchiveCloser> a(archive_read_new());
  archive_read_support_format_zip(a.get());
  const auto damaged = [&] {
    const char* why = archive_error_string(a.get());
    return fail(ErrorCode::kInvalid, fmt::format("the zip cannot be read: {}", why == nullptr ? "damaged" : why));
  };
  if (archive_read_open_memory(a.get(), zip.data(), zip.size()) != ARCHIVE_OK) return damaged();
  archive_entry* entry = nullptr;
  std::size_t entries = 0, unpacked = 0;
  while (true) {
    const int status = archive_read_next_header(a.get(), &entry);
    if (status == ARCHIVE_EOF) break;
    if (status < ARCHIVE_WARN) return damaged();
    if (++entries > kMaxEntries) return fail(ErrorCode::kTooLarge, "the zip has more than a million entries");
    const char* path = archive_entry_pathname(entry);
    if (path == nullptr || !std::string_view(path).ends_with(".json")) continue;
    const std::string name(path);
    MAINSTAY_TRY(const std::string text, read_entry(a.get(), name, unpacked));
    const auto value = base::parse_json(text, 32);
    if (!value) return fail(ErrorCode::kInvalid, fmt::format("{}: {}", name, value.error().message));
    const auto advisory = parse_osv(*value);
    if (!advisory)
      return fail(ErrorCode::kInvalid,
                  fmt::format("{} is not OSV: it has no id, or neither affected nor modified", name));
    writer.add(*advisory);
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
  MAINSTAY_TRY(out->reader_, store::open_sqlite(folder / "data.db", kSchema, "the vulnerability data"));
  Statement revision(db, "SELECT value FROM facts WHERE name = 'revision'");
  if (revision.step()) out->revision_ = revision.number(0);
  return out;
}

Vulnerabilities::~Vulnerabilities() {
  sqlite3_close(reader_);
  sqlite3_close(db_);
}

std::int64_t Vulnerabilities::advisories() {
  const std::scoped_lock lock(reading_);
  Statement count(reader_, "SELECT count(*) FROM advisories");
  return count.step() ? count.number(0) : 0;
}

base::Result<Vulnerabilities::Imported> Vulnerabilities::import(const std::filesystem::path& file) {
  MAINSTAY_TRY(const auto mapped, base::MappedFile::open(file, kMaxFile));
  const std::string_view text = mapped.text();
  const auto first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return fail(ErrorCode::kInvalid, "the file is empty");
  const bool zip = text.starts_with("PK"), list = text[first] == '[';
  std::optional<Advisory> single;
  if (!zip && !list && text.size() <= kMaxOsvEntry)
    if (const auto value = base::parse_json(text, 32)) single = parse_osv(*value);
  const bool osv = zip || list || single;
  const std::scoped_lock lock(writing_);
  exec(db_, "BEGIN IMMEDIATE");
  Writer writer(db_, osv ? "osv" : "debian");
  writer.out.format = osv ? "osv" : "debian";
  const auto add = [&](const Advisory& advisory) { writer.add(advisory); };
  base::Result<> read;
  if (zip) {
    read = import_zip(text, writer);
  } else if (list) {
    read = parse_osv_list(text, add);
  } else if (single) {
    add(*single);
  } else {
    exec(db_, "DELETE FROM affected WHERE source = 'debian'; DELETE FROM advisories WHERE source = 'debian'");
    read = parse_debian_tracker(text, add);
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
  const std::scoped_lock lock(reading_);
  Statement query(
      reader_,
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
