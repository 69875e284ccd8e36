#include "capabilities/provenance/policy.h"

#include <fnmatch.h>

#include <algorithm>

#include "capabilities/provenance/advisories.h"

namespace mainstay::provenance {

namespace json = base::json;

namespace {

constexpr std::size_t kMaxNamed = 5;

bool matches(const json::array& patterns, const std::string& text) {
  return std::ranges::any_of(patterns, [&](const json::value& pattern) {
    return pattern.is_string() && ::fnmatch(std::string(pattern.as_string()).c_str(), text.c_str(), 0) == 0;
  });
}

// None listed means any.
bool listed(const json::value& object, std::string_view path, const std::string& text) {
  const auto& patterns = base::get_array(object, path);
  return patterns.empty() || matches(patterns, text);
}

// The exceptions that hold today and speak of this image.
template <class Visit>
bool any_exception(const json::value& policy, const Candidate& candidate, base::SystemTime now, Visit visit) {
  const std::string today = base::rfc3339(now).substr(0, 10);
  for (const auto& exception : base::get_array(policy, "spec.exceptions"))
    if (base::get_string(exception, "until") >= today && listed(exception, "images", candidate.repository) &&
        listed(exception, "teams", candidate.team) && visit(exception))
      return true;
  return false;
}

}  // namespace

bool policy_concerns(const json::value& policy, const Candidate& candidate) {
  return listed(policy, "spec.teams", candidate.team) && listed(policy, "spec.environments", candidate.environment);
}

bool policy_needs_findings(const json::value& policy) {
  return !base::get_string(policy, "spec.vulnerabilities.block").empty();
}

std::vector<std::string> policy_problems(const json::value& policy, const Candidate& candidate, const Claims& claims,
                                         const std::vector<Finding>& findings, base::SystemTime now) {
  std::vector<std::string> out;
  const bool anyone =
      any_exception(policy, candidate, now, [](const json::value& e) { return base::get_bool(e, "provenance"); });
  const std::tuple<const char*, const char*, std::string> rules[] = {
      {"spec.provenance.repositories", "repository", claims.team + "/" + claims.repository},
      {"spec.provenance.workflows", "workflow", claims.workflow},
      {"spec.provenance.refs", "ref", claims.ref}};
  for (const auto& [path, what, text] : rules)
    if (!anyone && !listed(policy, path, text))
      out.push_back(fmt::format("its provenance names the {} {}, which the policy does not", what, text));
  const std::string block = base::get_string(policy, "spec.vulnerabilities.block");
  if (block.empty()) return out;
  std::size_t more = 0;
  for (const Finding& finding : findings) {
    if (severity_rank(finding.severity) < severity_rank(block)) continue;
    if (finding.fixed.empty() && base::get_bool(policy, "spec.vulnerabilities.ignoreUnfixed")) continue;
    const bool excepted = any_exception(policy, candidate, now, [&](const json::value& e) {
      return matches(base::get_array(e, "vulnerabilities"), finding.id);
    });
    if (excepted) continue;
    if (out.size() >= kMaxNamed) {
      ++more;
      continue;
    }
    out.push_back(fmt::format("{} ({}) in {} {}{}", finding.id, finding.severity, finding.package, finding.version,
                              finding.fixed.empty() ? ", not fixed yet" : ", fixed in " + finding.fixed));
  }
  if (more > 0) out.push_back(fmt::format("and {} more", more));
  return out;
}

bool excepts_provenance(const json::value& policy, const Candidate& candidate, base::SystemTime now) {
  return policy_concerns(policy, candidate) &&
         any_exception(policy, candidate, now, [](const json::value& e) { return base::get_bool(e, "provenance"); });
}

std::string how_to_except(std::string_view policy, const Candidate& candidate, std::string_view what) {
  return fmt::format(
      "for an exception ask an administrator to add {{images: [{}], {}, until: <date>, reason: <why>}} to "
      "spec.exceptions of VerificationPolicy {}",
      candidate.repository, what, policy);
}

}  // namespace mainstay::provenance
