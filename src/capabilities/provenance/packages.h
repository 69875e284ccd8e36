// What package managers leave in a file system, read without running anything of it.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace mainstay::provenance {

struct Package {
  std::string type;  // as package URLs name it: deb, apk, npm, pypi, golang, cargo
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

// package-lock.json of npm (lockfileVersion 1 to 3), also npm's own node_modules/.package-lock.json: what is installed;
// packages for development alone are left out.
std::vector<Package> parse_npm_lock(std::string_view text);
// Cargo.lock: the crates that come from somewhere else than the workspace itself.
std::vector<Package> parse_cargo_lock(std::string_view text);
// A program made by Go (1.18 and later) or by cargo-auditable says itself what it is made of: the modules and the
// toolchain's version, or the section .dep-v0. Empty for every other file.
std::vector<Package> parse_executable(std::string_view elf);

struct OsRelease {
  std::string id, version_id, pretty_name;  // "debian", "12", "Debian GNU/Linux 12 (bookworm)"
};
OsRelease parse_os_release(std::string_view text);

// https://github.com/package-url/purl-spec
std::string package_url(const Package& package, const OsRelease& os);

base::json::object to_json(const Package& package);
Package package_from_json(const base::json::value& value);

}  // namespace mainstay::provenance
