// VerificationPolicy objects, applied to one image. Pure.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/json.h"
#include "capabilities/provenance/statement.h"
#include "capabilities/provenance/vulnerabilities.h"

namespace mainstay::provenance {

struct Candidate {
  std::string team, environment;
  std::string repository;  // "shop/web"; with its registry where that is not ours
};

// Whether a policy says anything of images there.
bool policy_concerns(const base::json::value& policy, const Candidate& candidate);
bool policy_needs_findings(const base::json::value& policy);
// What the policy has against the image, after its exceptions; none: it passes.
std::vector<std::string> policy_problems(const base::json::value& policy, const Candidate& candidate,
                                         const Claims& claims, const std::vector<Finding>& findings,
                                         base::SystemTime now);
// Whether an exception lets the image in without provenance.
bool excepts_provenance(const base::json::value& policy, const Candidate& candidate, base::SystemTime now);
// How to ask for an exception of a policy: the words of a refusal.
std::string how_to_except(std::string_view policy, const Candidate& candidate, std::string_view what);

}  // namespace mainstay::provenance
