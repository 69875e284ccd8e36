// Comparing versions as each ecosystem does.
#pragma once
#include <compare>
#include <string_view>

namespace mainstay::provenance {

// deb-version(7): epoch, upstream version, revision; `~` sorts before everything.
std::strong_ordering compare_dpkg(std::string_view a, std::string_view b);
// apk-package(5) of apk-tools: numbers, a letter, suffixes (_alpha _beta _pre _rc before none, _cvs _svn _git _hg _p
// after), a commit's ~hash, the build -rN.
std::strong_ordering compare_apk(std::string_view a, std::string_view b);
// https://semver.org/#spec-item-11, and leniently: a leading v, missing parts, build metadata passed over. For npm, Go
// and Cargo.
std::strong_ordering compare_semver(std::string_view a, std::string_view b);
// PEP 440: epochs, a/b/rc, post, dev; local versions come after.
std::strong_ordering compare_pep440(std::string_view a, std::string_view b);
// By OSV's name of the ecosystem ("Debian:12", "Alpine:v3.20", "npm", "PyPI", "Go", "crates.io"); semver for those not
// known.
std::strong_ordering compare_versions(std::string_view ecosystem, std::string_view a, std::string_view b);

}  // namespace mainstay::provenance
