#include "capabilities/provenance/policy.h"

#include <gtest/gtest.h>

#include "base/yaml.h"

namespace mainstay::provenance {
namespace {

base::json::value policy(std::string_view text) { return *base::parse_yaml(text); }

const auto kNow = *base::parse_rfc3339("2026-06-15T12:00:00Z");
const Candidate kImage{"shop", "prod", "shop/web"};

Claims claims() {
  Claims out;
  out.team = "shop";
  out.repository = "web";
  out.workflow = "default";
  out.ref = "refs/heads/main";
  return out;
}

TEST(Policy, ConcernsTeamsAndEnvironments) {
  EXPECT_TRUE(policy_concerns(policy("spec: {mode: enforce}"), kImage));
  EXPECT_TRUE(policy_concerns(policy("spec: {teams: [shop], environments: ['pro?']}"), kImage));
  EXPECT_FALSE(policy_concerns(policy("spec: {teams: [other]}"), kImage));
  EXPECT_FALSE(policy_concerns(policy("spec: {environments: [dev]}"), kImage));
}

TEST(Policy, Identity) {
  const auto rules = policy("spec: {provenance: {repositories: ['shop/*'], refs: [refs/heads/main]}}");
  EXPECT_TRUE(policy_problems(rules, kImage, claims(), {}, kNow).empty());
  auto other = claims();
  other.ref = "refs/heads/feature";
  const auto problems = policy_problems(rules, kImage, other, {}, kNow);
  ASSERT_EQ(problems.size(), 1u);
  EXPECT_NE(problems[0].find("refs/heads/feature"), std::string::npos);
}

TEST(Policy, SeverityAndDatedExceptions) {
  const std::vector<Finding> findings{{"CVE-1", "critical", "openssl", "3.0", "deb", "3.1", "", ""},
                                      {"CVE-2", "high", "zlib", "1", "deb", "", "", ""},
                                      {"CVE-3", "low", "x", "1", "deb", "2", "", ""}};
  EXPECT_EQ(policy_problems(policy("spec: {vulnerabilities: {block: high}}"), kImage, claims(), findings, kNow).size(),
            2u);
  EXPECT_EQ(policy_problems(policy("spec: {vulnerabilities: {block: high, ignoreUnfixed: true}}"), kImage, claims(),
                            findings, kNow)
                .size(),
            1u);
  const auto until = [](std::string_view date) {
    return policy(
        fmt::format("spec: {{vulnerabilities: {{block: critical}}, exceptions: [{{images: [shop/web], "
                    "vulnerabilities: [CVE-1], until: '{}', reason: x}}]}}",
                    date));
  };
  EXPECT_TRUE(policy_problems(until("2026-06-15"), kImage, claims(), findings, kNow).empty()) << "its last day";
  EXPECT_EQ(policy_problems(until("2026-06-14"), kImage, claims(), findings, kNow).size(), 1u);
  EXPECT_EQ(policy_problems(until("2027-01-01"), {"shop", "prod", "shop/api"}, claims(), findings, kNow).size(), 1u);
}

TEST(Policy, WithoutProvenanceOnlyWhereAnExceptionSaysSo) {
  const auto rules = policy(
      "spec: {exceptions: [{images: ['docker.io/library/nginx'], provenance: true, until: '2026-07-01', reason: x}]}");
  EXPECT_TRUE(excepts_provenance(rules, {"shop", "prod", "docker.io/library/nginx"}, kNow));
  EXPECT_FALSE(excepts_provenance(rules, kImage, kNow));
  EXPECT_FALSE(
      excepts_provenance(rules, {"shop", "prod", "docker.io/library/nginx"}, kNow + std::chrono::hours(24 * 30)));
}

}  // namespace
}  // namespace mainstay::provenance
