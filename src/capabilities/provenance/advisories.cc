#include "capabilities/provenance/advisories.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "base/strings.h"
#include "capabilities/provenance/versions.h"

namespace mainstay::provenance {

using base::ErrorCode;
using base::fail;
namespace json = base::json;

namespace {

constexpr std::size_t kMaxAffected = 2000, kMaxRanges = 2000, kMaxText = 300, kMaxEntry = 4u << 20;
constexpr std::size_t kMaxCompared = 50'000;  // listed versions with ranges, in one package of an entry

std::string cut(std::string text) {
  if (text.size() > kMaxText) text.resize(kMaxText);
  return text;
}

std::string severity_word(std::string_view word) {
  const std::string lower = base::lower(word);
  if (lower == "critical" || lower == "high" || lower == "medium" || lower == "low") return lower;
  if (lower == "moderate" || lower == "important") return lower == "moderate" ? "medium" : "high";
  if (lower == "unimportant" || lower == "negligible") return "negligible";
  return "";
}

std::string severity_of(const json::value& entry) {
  for (const char* path : {"database_specific.severity", "ecosystem_specific.severity", "ecosystem_specific.urgency"})
    if (std::string word = severity_word(base::get_string(entry, path)); !word.empty()) return word;
  for (const auto& item : base::get_array(entry, "severity"))
    if (base::get_string(item, "type") == "CVSS_V3")
      if (std::string word = cvss3_severity(base::get_string(item, "score")); !word.empty()) return word;
  return "";
}

void add_ranges(const json::value& affected, Affected& out) {
  for (const auto& range : base::get_array(affected, "ranges")) {
    if (base::get_string(range, "type") == "GIT") continue;
    std::optional<AffectedRange> open;
    for (const auto& event : base::get_array(range, "events")) {
      if (out.ranges.size() >= kMaxRanges) return;
      const std::string introduced = base::get_string(event, "introduced"), fixed = base::get_string(event, "fixed"),
                        last = base::get_string(event, "last_affected");
      if (!introduced.empty()) {
        if (open) out.ranges.push_back(*open);
        open = AffectedRange{cut(introduced), "", "", ""};
      } else if (open && (!fixed.empty() || !last.empty())) {
        open->fixed = cut(fixed);
        open->last = cut(last);
        out.ranges.push_back(*open);
        open.reset();
      }
    }
    if (open) out.ranges.push_back(*open);
  }
  // A version is affected if it is in either (OSV schema, "affected[].versions field"). Most lists only enumerate the
  // ranges: what those say already is left out, as far as the comparisons stay within their bound.
  const std::size_t ranges = out.ranges.size();
  std::size_t compared = 0;
  for (const auto& version : base::get_array(affected, "versions")) {
    if (out.ranges.size() >= kMaxRanges) return;
    if (!version.is_string()) continue;
    const std::string exact = cut(std::string(version.as_string()));
    if (exact.empty()) continue;
    bool known = false;
    for (std::size_t i = 0; i < ranges && !known && compared < kMaxCompared; ++i, ++compared)
      known = in_range(out.ecosystem, exact, out.ranges[i]);
    if (!known) out.ranges.push_back({"", "", "", exact});
  }
}

// The end of the JSON value that begins at `at`: brackets and texts are counted, nothing else is checked.
std::size_t end_of_value(std::string_view text, std::size_t at) {
  int depth = 0;
  bool quoted = false;
  for (std::size_t i = at; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      if (c == '\\') ++i;
      if (c == '"') quoted = false;
    } else if (c == '"') {
      quoted = true;
    } else if (c == '{' || c == '[') {
      ++depth;
    } else if ((c == '}' || c == ']') && --depth == 0) {
      return i + 1;
    }
  }
  return std::string_view::npos;
}

const std::map<std::string, std::string, std::less<>>& debian_releases() {
  static const std::map<std::string, std::string, std::less<>> all{
      {"buster", "Debian:10"}, {"bullseye", "Debian:11"}, {"bookworm", "Debian:12"},
      {"trixie", "Debian:13"}, {"forky", "Debian:14"},
  };
  return all;
}

void debian_package(const std::string& package, const json::value& cves,
                    const std::function<void(const Advisory&)>& each) {
  if (!cves.is_object()) return;
  for (const auto& [id, entry] : cves.as_object()) {
    Advisory advisory;
    advisory.id = cut(std::string(id));
    advisory.title = cut(base::get_string(entry, "description"));
    advisory.severity = "unknown";
    advisory.link = "https://security-tracker.debian.org/tracker/" + advisory.id;
    for (const auto& [codename, release] : base::get_object(entry, "releases")) {
      const auto known = debian_releases().find(std::string_view(codename));
      const std::string status = base::get_string(release, "status"),
                        fixed = base::get_string(release, "fixed_version");
      if (known == debian_releases().end() || status == "undetermined" || fixed == "0") continue;
      Affected affected{known->second, package, severity_word(base::get_string(release, "urgency")), {}};
      affected.ranges.push_back({"0", status == "resolved" ? cut(fixed) : "", "", ""});
      if (status == "resolved" && fixed.empty()) continue;
      if (severity_rank(affected.severity) > severity_rank(advisory.severity)) advisory.severity = affected.severity;
      advisory.affected.push_back(std::move(affected));
    }
    if (!advisory.affected.empty()) each(advisory);
  }
}

}  // namespace

int severity_rank(std::string_view severity) {
  static constexpr std::string_view kRanks[] = {"unknown", "negligible", "low", "medium", "high", "critical"};
  const auto at = std::ranges::find(kRanks, severity);
  return at == std::end(kRanks) ? 0 : static_cast<int>(at - kRanks);
}

namespace {

// A distribution's entry may gather many CVEs of upstream: then none of them is its name.
std::string cve_of(const json::value& entry) {
  const auto is_cve = [](const json::value& id) {
    return id.is_string() && std::string_view(id.as_string()).starts_with("CVE-");
  };
  const auto& aliases = base::get_array(entry, "aliases");
  if (const auto found = std::ranges::find_if(aliases, is_cve); found != aliases.end())
    return cut(std::string(found->as_string()));
  const auto& upstream = base::get_array(entry, "upstream");
  if (upstream.size() == 1 && is_cve(upstream.front())) return cut(std::string(upstream.front().as_string()));
  return "";
}

}  // namespace

std::optional<Advisory> parse_osv(const json::value& value) {
  Advisory out;
  out.entry = out.id = cut(base::get_string(value, "id"));
  // `affected` may be missing (of an entry that was withdrawn, say); every entry has `modified`.
  if (out.id.empty() || (base::find(value, "affected") == nullptr && base::get_string(value, "modified").empty()))
    return std::nullopt;
  out.link = "https://osv.dev/vulnerability/" + out.id;
  if (std::string cve = cve_of(value); !cve.empty()) out.id = std::move(cve);
  out.title = cut(base::get_string(value, "summary", base::get_string(value, "details")));
  out.withdrawn = !base::get_string(value, "withdrawn").empty();
  out.severity = severity_of(value);
  for (const auto& item : base::get_array(value, "affected")) {
    if (out.affected.size() >= kMaxAffected) break;
    Affected affected{cut(base::get_string(item, "package.ecosystem")),
                      cut(base::get_string(item, "package.name")),
                      severity_of(item),
                      {}};
    if (affected.ecosystem.empty() || affected.name.empty()) continue;
    add_ranges(item, affected);
    if (out.severity.empty()) out.severity = affected.severity;
    if (!affected.ranges.empty()) out.affected.push_back(std::move(affected));
  }
  if (out.severity.empty()) out.severity = "unknown";
  return out;
}

base::Result<> parse_osv_list(std::string_view text, const std::function<void(const Advisory&)>& each) {
  const auto bad = [] { return fail(ErrorCode::kInvalid, "the list of OSV entries ends in the middle, or is none"); };
  std::size_t at = text.find_first_not_of(" \t\r\n");
  if (at == std::string_view::npos || text[at] != '[') return bad();
  ++at;
  for (std::size_t number = 1;; ++number) {
    at = text.find_first_not_of(" \t\r\n,", at);
    if (at == std::string_view::npos) return bad();
    if (text[at] == ']') return {};
    const auto end = end_of_value(text, at);
    if (text[at] != '{' || end == std::string_view::npos) return bad();
    if (end - at > kMaxOsvEntry) return fail(ErrorCode::kTooLarge, fmt::format("entry {} is over 8 MiB", number));
    const auto value = base::parse_json(text.substr(at, end - at), 32);
    const auto advisory = value ? parse_osv(*value) : std::nullopt;
    if (!advisory)
      return fail(ErrorCode::kInvalid,
                  fmt::format("entry {} is not OSV: {}", number,
                              value ? "it has no id, or neither affected nor modified" : value.error().message));
    each(*advisory);
    at = end;
  }
}

base::Result<> parse_debian_tracker(std::string_view text, const std::function<void(const Advisory&)>& each) {
  const auto bad = [] { return fail(ErrorCode::kInvalid, "neither OSV nor the Debian security tracker's JSON"); };
  std::size_t at = text.find_first_not_of(" \t\r\n");
  if (at == std::string_view::npos || text[at] != '{') return bad();
  ++at;
  // Value by value: as a whole the file would take ten times its size in memory.
  while (true) {
    at = text.find_first_not_of(" \t\r\n,", at);
    if (at == std::string_view::npos) return bad();
    if (text[at] == '}') return {};
    if (text[at] != '"') return bad();
    const auto close = text.find('"', at + 1);
    if (close == std::string_view::npos) return bad();
    const std::string package(text.substr(at + 1, std::min<std::size_t>(close - at - 1, kMaxText)));
    const auto open = text.find_first_not_of(" \t\r\n:", close + 1);
    if (open == std::string_view::npos || text[open] != '{') return bad();
    const auto end = end_of_value(text, open);
    if (end == std::string_view::npos || end - open > 16 * kMaxEntry) return bad();
    MAINSTAY_TRY(const auto value, base::parse_json(text.substr(open, end - open), 16));
    debian_package(package, value, each);
    at = end;
  }
}

bool in_range(std::string_view ecosystem, std::string_view version, const AffectedRange& range) {
  const auto compare = [&](std::string_view other) { return compare_versions(ecosystem, version, other); };
  if (!range.exact.empty()) return compare(range.exact) == 0;
  if (range.introduced != "0" && compare(range.introduced) < 0) return false;
  if (!range.fixed.empty()) return compare(range.fixed) < 0;
  if (!range.last.empty()) return compare(range.last) <= 0;
  return true;
}

std::string cvss3_severity(std::string_view vector) {
  if (!vector.starts_with("CVSS:3")) return "";
  std::map<std::string_view, char> m;
  for (const auto part : base::split(vector, '/'))
    if (const auto colon = part.find(':'); colon != std::string_view::npos && colon + 2 == part.size())
      m[part.substr(0, colon)] = part[colon + 1];
  const auto weight = [&](std::string_view metric, std::initializer_list<std::pair<char, double>> values) {
    const auto at = m.find(metric);
    for (const auto& [letter, value] : values)
      if (at != m.end() && at->second == letter) return value;
    return -1.0;
  };
  const bool changed = m["S"] == 'C';
  const double av = weight("AV", {{'N', 0.85}, {'A', 0.62}, {'L', 0.55}, {'P', 0.2}}),
               ac = weight("AC", {{'L', 0.77}, {'H', 0.44}}),
               pr = changed ? weight("PR", {{'N', 0.85}, {'L', 0.68}, {'H', 0.5}})
                            : weight("PR", {{'N', 0.85}, {'L', 0.62}, {'H', 0.27}}),
               ui = weight("UI", {{'N', 0.85}, {'R', 0.62}}), c = weight("C", {{'H', 0.56}, {'L', 0.22}, {'N', 0}}),
               i = weight("I", {{'H', 0.56}, {'L', 0.22}, {'N', 0}}),
               a = weight("A", {{'H', 0.56}, {'L', 0.22}, {'N', 0}});
  for (const double w : {av, ac, pr, ui, c, i, a})
    if (w < 0) return "";
  const double iss = 1 - (1 - c) * (1 - i) * (1 - a);
  const double impact = changed ? 7.52 * (iss - 0.029) - 3.25 * std::pow(iss - 0.02, 15) : 6.42 * iss;
  if (impact <= 0) return "negligible";
  const double base = std::min((changed ? 1.08 : 1.0) * (impact + 8.22 * av * ac * pr * ui), 10.0);
  const double score = std::ceil(base * 10 - 1e-6) / 10;
  return score >= 9 ? "critical" : score >= 7 ? "high" : score >= 4 ? "medium" : "low";
}

}  // namespace mainstay::provenance
