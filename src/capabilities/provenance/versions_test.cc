#include "capabilities/provenance/versions.h"

#include <gtest/gtest.h>

namespace mainstay::provenance {
namespace {

// Each list in ascending order: every pair is compared both ways.
template <class Compare>
void ascending(Compare compare, std::initializer_list<std::string_view> versions) {
  for (auto a = versions.begin(); a != versions.end(); ++a)
    for (auto b = versions.begin(); b != versions.end(); ++b) {
      EXPECT_EQ(compare(*a, *b) < 0, a < b) << *a << " and " << *b;
      EXPECT_EQ(compare(*a, *b) == 0, a == b) << *a << " and " << *b;
    }
}

TEST(Versions, Dpkg) {
  ascending(compare_dpkg, {"1.0~~", "1.0~~a", "1.0~", "1.0", "1.0-1~bpo12+1", "1.0-1", "1.0-1+deb12u1", "1.0-2",
                           "1.0-10", "1.0a", "1.0+dfsg-1", "1.0.1", "1.9", "1.10", "1:0.1"});
  EXPECT_TRUE(compare_dpkg("0:1.0", "1.0") == 0);
  EXPECT_TRUE(compare_dpkg("1.00", "1.0") == 0);
}

TEST(Versions, Apk) {
  ascending(compare_apk, {"0.9",      "1.0_alpha",     "1.0_alpha2", "1.0_alpha10", "1.0_beta1",
                          "1.0_pre1", "1.0_rc1_p1-r0", "1.0_rc2",    "1.0",         "1.0-r0",
                          "1.0-r2",   "1.0-r10",       "1.0_cvs1",   "1.0_svn1",    "1.0_git20240101-r0",
                          "1.0_hg1",  "1.0_p1",        "1.0_p1-r1",  "1.0_p2",      "1.0a",
                          "1.0b-r3",  "1.0.1_rc1",     "1.0.1",      "1.01",        "1.1",
                          "1.2.4-r1", "1.2.5-r0",      "1.9",        "1.10",        "20240101-r0"});
  EXPECT_TRUE(compare_apk("1.1.1w-r1", "1.1.1v-r9") > 0);
  EXPECT_TRUE(compare_apk("3.1.4-r5", "3.1.10-r0") < 0);
  EXPECT_TRUE(compare_apk("99999999999999999999-r0", "100000000000000000000-r0") < 0);
  EXPECT_TRUE(compare_versions("Alpine:v3.20", "1.0_rc1", "1.0") < 0);
}

TEST(Versions, Semver) {
  ascending(compare_semver, {"1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2",
                             "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0", "1.2.0", "1.10.0", "2.0.0"});
  EXPECT_TRUE(compare_semver("v1.2.3", "1.2.3+build.7") == 0);
  EXPECT_TRUE(compare_semver("1.2", "1.2.0") == 0);
  EXPECT_TRUE(compare_semver("99999999999999999999.0.0", "100000000000000000000.0.0") < 0);
}

TEST(Versions, Pep440) {
  ascending(compare_pep440, {"1.0.dev1", "1.0a1.dev1", "1.0a1", "1.0a2", "1.0b1", "1.0rc1", "1.0", "1.0+local.1",
                             "1.0.post1.dev1", "1.0.post1", "1.0.post2", "1.1.dev1", "1.1", "1.10", "1!0.1"});
  EXPECT_TRUE(compare_pep440("1.0", "1.0.0") == 0);
  EXPECT_TRUE(compare_pep440("1.0-ALPHA.1", "1.0a1") == 0);
  EXPECT_TRUE(compare_pep440("1.0-1", "1.0.post1") == 0);
}

// https://go.dev/ref/mod#pseudo-versions: each of its three forms stands between the releases around it.
TEST(Versions, GoPseudoVersions) {
  const auto go = [](std::string_view a, std::string_view b) { return compare_versions("Go", a, b); };
  ascending(go, {"v0.0.0-20190101000000-ffffffffffff", "v0.0.0-20210220032951-036812b2e83c", "v0.1.0", "v1.2.2",
                 "v1.2.3-0.20191109021931-daa7c04131f5", "v1.2.3-pre", "v1.2.3-pre.0.20191109021931-daa7c04131f5",
                 "v1.2.3", "v1.2.4-0.20200101000000-000000000000", "v1.10.0"});
  EXPECT_TRUE(go("v2.0.0+incompatible", "v2.0.0") == 0);
}

TEST(Versions, ByEcosystem) {
  EXPECT_TRUE(compare_versions("Debian:12", "1.0~rc1", "1.0") < 0);
  EXPECT_TRUE(compare_versions("PyPI", "1.0rc1", "1.0") < 0);
  EXPECT_TRUE(compare_versions("PyPI", "1.0.post1", "1.0") > 0);
  EXPECT_TRUE(compare_versions("npm", "4.17.9", "4.17.21") < 0);
  EXPECT_TRUE(compare_versions("crates.io", "0.1.0-alpha.2", "0.1.0-alpha.10") < 0);
}

}  // namespace
}  // namespace mainstay::provenance
