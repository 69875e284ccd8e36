#include "capabilities/provenance/advisories.h"

#include <gtest/gtest.h>

namespace mainstay::provenance {
namespace {

TEST(Osv, NamedByTheOneCveUpstream) {
  const auto id = [](std::string_view upstream) {
    return parse_osv(*base::parse_json(fmt::format(R"({{"id":"D-1","affected":[],"upstream":{}}})", upstream)))->id;
  };
  EXPECT_EQ(id(R"(["CVE-2024-2"])"), "CVE-2024-2");
  EXPECT_EQ(id(R"(["CVE-2024-2","CVE-2024-3"])"), "D-1");
  EXPECT_EQ(id("[]"), "D-1");
}

TEST(Osv, RangesSeverityAndCve) {
  const auto advisory = parse_osv(*base::parse_json(R"({"id":"GHSA-1","aliases":["CVE-2024-1"],"summary":"bad",
    "severity":[{"type":"CVSS_V3","score":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}],
    "affected":[{"package":{"ecosystem":"npm","name":"left-pad"},"ranges":[{"type":"SEMVER","events":[
      {"introduced":"1.0.0"},{"fixed":"1.3.1"},{"introduced":"2.0.0"}]}]},
      {"package":{"ecosystem":"PyPI","name":"x"},"versions":["1.0"]}]})"));
  ASSERT_TRUE(advisory);
  EXPECT_EQ(advisory->id, "CVE-2024-1");
  EXPECT_EQ(advisory->severity, "critical");
  EXPECT_EQ(advisory->link, "https://osv.dev/vulnerability/GHSA-1");
  ASSERT_EQ(advisory->affected.size(), 2u);
  const auto hit = [&](std::string_view version) {
    for (const auto& range : advisory->affected[0].ranges)
      if (in_range("npm", version, range)) return true;
    return false;
  };
  EXPECT_FALSE(hit("0.9.0"));
  EXPECT_TRUE(hit("1.3.0"));
  EXPECT_FALSE(hit("1.3.1"));
  EXPECT_FALSE(hit("2.0.0-rc.1"));
  EXPECT_TRUE(hit("2.5.0"));
  EXPECT_TRUE(in_range("PyPI", "1.0.0", advisory->affected[1].ranges[0]));
  EXPECT_FALSE(parse_osv(base::json::object{{"id", "x"}}));
}

TEST(Osv, ListedVersionsCountBesideRanges) {
  const auto advisory =
      parse_osv(*base::parse_json(R"({"id":"A-1","affected":[{"package":{"ecosystem":"npm","name":"x"},
    "ranges":[{"type":"SEMVER","events":[{"introduced":"2.0.0"},{"fixed":"2.1.0"}]}],
    "versions":["2.0.0","2.0.5","0.9.1",""]}]})"));
  ASSERT_TRUE(advisory);
  const auto& ranges = advisory->affected.at(0).ranges;
  ASSERT_EQ(ranges.size(), 2u) << "only what the range does not say is kept";
  EXPECT_EQ(ranges[1].exact, "0.9.1");
  EXPECT_TRUE(in_range("npm", "0.9.1", ranges[1]));
  EXPECT_FALSE(in_range("npm", "0.9.2", ranges[1]));
}

TEST(DebianTracker, OneEntryAReleaseThatIsAffected) {
  std::vector<Advisory> all;
  const auto read = parse_debian_tracker(R"({"openssl": {"CVE-2023-1": {"description": "a \"quoted\" }",
      "releases": {"bookworm": {"status": "resolved", "fixed_version": "3.0.9-1", "urgency": "high"},
                   "trixie": {"status": "open", "urgency": "not yet assigned"},
                   "bullseye": {"status": "resolved", "fixed_version": "0", "urgency": "low"}}}},
    "zlib": {}})",
                                         [&](const Advisory& a) { all.push_back(a); });
  ASSERT_TRUE(read) << read.error().message;
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].id, "CVE-2023-1");
  EXPECT_EQ(all[0].severity, "high");
  ASSERT_EQ(all[0].affected.size(), 2u);
  EXPECT_EQ(all[0].affected[0].ecosystem, "Debian:12");
  EXPECT_TRUE(in_range("Debian:12", "3.0.8-1", all[0].affected[0].ranges[0]));
  EXPECT_FALSE(in_range("Debian:12", "3.0.9-1~bpo1+1", {"0", "3.0.9-1~", "", ""}));
  EXPECT_TRUE(in_range("Debian:13", "99", all[0].affected[1].ranges[0])) << "open: every version";
  EXPECT_FALSE(parse_debian_tracker("[1]", [](const Advisory&) {}));
  EXPECT_FALSE(parse_debian_tracker("{\"a\": {", [](const Advisory&) {}));
}

TEST(Cvss, SeveritiesOfKnownVectors) {
  EXPECT_EQ(cvss3_severity("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H"), "critical");
  EXPECT_EQ(cvss3_severity("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H"), "high");    // 7.5
  EXPECT_EQ(cvss3_severity("CVSS:3.0/AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N"), "medium");  // 6.1
  EXPECT_EQ(cvss3_severity("CVSS:3.1/AV:L/AC:H/PR:H/UI:R/S:U/C:L/I:N/A:N"), "low");
  EXPECT_EQ(cvss3_severity("CVSS:3.1/AV:N"), "");
}

}  // namespace
}  // namespace mainstay::provenance
