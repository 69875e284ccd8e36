// Vulnerability data as its publishers write it: OSV (https://ossf.github.io/osv-schema/) and the Debian security
// tracker's JSON (https://security-tracker.debian.org/tracker/data/json). Without I/O.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace mainstay::provenance {

inline constexpr std::size_t kMaxOsvEntry = 8u << 20;

// One stretch of affected versions: from `introduced` ("0": the first) until before `fixed` or up to `last`, or exactly
// one version.
struct AffectedRange {
  std::string introduced, fixed, last, exact;
};
struct Affected {
  std::string ecosystem, name;  // "Debian:12" and the source package, "npm", "PyPI", "Go", "crates.io"
  std::string severity;         // where it differs by package
  std::vector<AffectedRange> ranges;
};
struct Advisory {
  std::string id, title, severity, link;  // severity: critical high medium low negligible unknown
  std::string entry;                      // OSV's own id: several entries may speak of one CVE
  bool withdrawn = false;
  std::vector<Affected> affected;
};

// Calls `each` for every entry of a list, one after the other: as a whole a list would take many times its size in
// memory. kInvalid: one of them is no OSV entry.
base::Result<> parse_osv_list(std::string_view text, const std::function<void(const Advisory&)>& each);
// nullopt where the value is no OSV entry. The id is that of the CVE where the entry names one, by its aliases or as
// the one thing upstream that it is about.
std::optional<Advisory> parse_osv(const base::json::value& value);
// Calls `each` for every CVE of every package. kInvalid: not the tracker's format.
base::Result<> parse_debian_tracker(std::string_view text, const std::function<void(const Advisory&)>& each);
// critical, high, medium, low or "" from a CVSS v3 vector. https://www.first.org/cvss/v3.1/specification-document
std::string cvss3_severity(std::string_view vector);
// Whether a version is in one of the ranges, as the ecosystem compares.
bool in_range(std::string_view ecosystem, std::string_view version, const AffectedRange& range);
// 0 unknown, 1 negligible … 5 critical.
int severity_rank(std::string_view severity);

}  // namespace mainstay::provenance
