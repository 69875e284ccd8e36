// What package managers leave in a file system, read without running anything of it.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace mainstay::provenance {

struct Package {
  std::string type;  // as package URLs name it: deb, apk, npm, pypi
  std::string name, version, architecture;
  std::string source, source_version;  // what it was built from, where that has another name or version
  std::string license;                 // as written there; not always an SPDX expression
  std::string supplier;
  bool operator==(const Package&) const = default;
};

// Debian: /var/lib/dpkg/status, or a file of status.d. Packages that are not installed are left out.
std::vector<Package> parse_dpkg_status(std::string_view text);
// Alpine: /lib/apk/db/installed.
std::vector<Package> parse_apk_installed(std::string_view text);
// package.json of an installed npm package; empty where it names none.
std::vector<Package> parse_npm_package(std::string_view text);
// METADATA or PKG-INFO of an installed Python distribution.
std::vector<Package> parse_python_metadata(std::string_view text);

struct OsRelease {
  std::string id, version_id, pretty_name;  // "debian", "12", "Debian GNU/Linux 12 (bookworm)"
};
OsRelease parse_os_release(std::string_view text);

// https://github.com/package-url/purl-spec
std::string package_url(const Package& package, const OsRelease& os);

base::json::object to_json(const Package& package);
Package package_from_json(const base::json::value& value);

}  // namespace mainstay::provenance
