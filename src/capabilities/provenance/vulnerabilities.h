// The local vulnerability database below DIR/vulnerabilities (SQLite): filled from files, asked about images.
#pragma once
#include <atomic>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/result.h"
#include "capabilities/provenance/layers.h"

struct sqlite3;

namespace mainstay::provenance {

struct Finding {
  std::string id, severity, package, version, type, fixed, link, title;
};

// Thread-safe; every call but revision() blocks: on the pool.
class Vulnerabilities {
 public:
  static base::Result<std::shared_ptr<Vulnerabilities>> open(const std::filesystem::path& folder);
  ~Vulnerabilities();
  struct Imported {
    std::string format;  // "osv", "debian"
    std::int64_t advisories = 0, ranges = 0;
  };
  // OSV (a JSON entry, a list of them, or a zip of them) or the Debian security tracker's JSON, which replaces what was
  // imported of it before. All or nothing. kInvalid: of another format; kTooLarge.
  base::Result<Imported> import(const std::filesystem::path& file);
  // The most severe first; each once.
  base::Result<std::vector<Finding>> match(const ImagePackages& image);
  std::int64_t revision() const { return revision_; }  // grows with each import; 0: there is no data
  std::int64_t advisories();

 private:
  explicit Vulnerabilities(sqlite3* db) : db_(db) {}
  // Images are matched while an import, which may take a minute, goes on: they see the data as it was before.
  std::mutex writing_, reading_;
  sqlite3 *db_, *reader_ = nullptr;
  std::atomic<std::int64_t> revision_{0};
};

// OSV's name of the ecosystem that a package belongs to, and the name it goes by there; "" where none is known.
std::pair<std::string, std::string> osv_package(const Package& package, const OsRelease& os);

}  // namespace mainstay::provenance
