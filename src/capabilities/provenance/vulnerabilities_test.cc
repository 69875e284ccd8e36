#include "capabilities/provenance/vulnerabilities.h"

#include <gtest/gtest.h>

#include "base/files.h"

namespace mainstay::provenance {
namespace {

class VulnerabilitiesTest : public testing::Test {
 protected:
  void SetUp() override {
    dir_ = std::filesystem::temp_directory_path() / ("vulnerabilities-" + std::to_string(::getpid()));
    std::filesystem::remove_all(dir_);
    std::filesystem::create_directories(dir_);
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }
  std::filesystem::path file(const std::string& text) {
    const auto path = dir_ / "data.json";
    EXPECT_TRUE(base::write_file(path, text, 0600));
    return path;
  }
  std::filesystem::path dir_;
};

constexpr const char* kOsv =
    R"([{"id":"GHSA-1","aliases":["CVE-2024-1"],"summary":"left","database_specific":{"severity":"HIGH"},
  "affected":[{"package":{"ecosystem":"npm","name":"left-pad"},"ranges":[{"type":"SEMVER","events":[{"introduced":"0"},{"fixed":"1.3.1"}]}]}]}])";
constexpr const char* kDebian =
    R"({"openssl":{"CVE-2023-1":{"releases":{"bookworm":{"status":"resolved","fixed_version":"3.0.9-1","urgency":"medium"}}}}})";

TEST_F(VulnerabilitiesTest, MatchesWhatWasImportedAndSurvivesReopening) {
  ImagePackages image;
  image.os = {"debian", "12", ""};
  image.packages = {{.type = "npm", .name = "left-pad", .version = "1.3.0"},
                    {.type = "deb", .name = "libssl3", .version = "3.0.8-1", .source = "openssl"},
                    {.type = "npm", .name = "fine", .version = "1.0.0"}};
  {
    auto data = Vulnerabilities::open(dir_ / "v");
    ASSERT_TRUE(data);
    EXPECT_EQ((*data)->revision(), 0);
    EXPECT_TRUE((*data)->match(image)->empty());
    ASSERT_TRUE((*data)->import(file(kOsv)));
    const auto imported = (*data)->import(file(kDebian));
    ASSERT_TRUE(imported) << imported.error().message;
    EXPECT_EQ(imported->format, "debian");
  }
  auto data = Vulnerabilities::open(dir_ / "v");
  EXPECT_EQ((*data)->revision(), 2);
  const auto found = (*data)->match(image);
  ASSERT_TRUE(found);
  ASSERT_EQ(found->size(), 2u);
  EXPECT_EQ((*found)[0].id, "CVE-2024-1");
  EXPECT_EQ((*found)[0].severity, "high");
  EXPECT_EQ((*found)[0].fixed, "1.3.1");
  EXPECT_EQ((*found)[1].package, "libssl3");
  // The next dump of the tracker replaces the one before.
  ASSERT_TRUE(
      (*data)->import(file(R"({"zlib":{"CVE-9":{"releases":{"bookworm":{"status":"open","urgency":"low"}}}}})")));
  EXPECT_EQ((*data)->match(image)->size(), 1u);
}

TEST_F(VulnerabilitiesTest, EntriesOfOneCveStandBesideEachOther) {
  const auto entry = [](std::string_view id, std::string_view name, std::string_view more) {
    return fmt::format(
        R"({{"id":"{}","aliases":["CVE-2024-1"]{},"affected":[{{"package":{{"ecosystem":"npm","name":"{}"}},"versions":["1.0.0"]}}]}})",
        id, more, name);
  };
  auto data = Vulnerabilities::open(dir_ / "v");
  ImagePackages image;
  image.packages = {{.type = "npm", .name = "one", .version = "1.0.0"},
                    {.type = "npm", .name = "two", .version = "1.0.0"}};
  ASSERT_TRUE((*data)->import(file(entry("GHSA-1", "one", ""))));
  ASSERT_TRUE((*data)->import(file(entry("GHSA-2", "two", ""))));
  EXPECT_EQ((*data)->match(image)->size(), 2u);
  ASSERT_TRUE((*data)->import(file(entry("GHSA-1", "one", R"(,"withdrawn":"2024-02-01T00:00:00Z")"))));
  const auto left = (*data)->match(image);
  ASSERT_EQ(left->size(), 1u);
  EXPECT_EQ((*left)[0].package, "two");
}

TEST_F(VulnerabilitiesTest, AlpineByBranchAndBySourceAndName) {
  auto data = Vulnerabilities::open(dir_ / "v");
  ASSERT_TRUE((*data)->import(file(
      R"([{"id":"ALPINE-CVE-1","affected":[{"package":{"ecosystem":"Alpine:v3.20","name":"openssl"},
        "ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"},{"fixed":"3.3.1-r10"}]}]}]},
      {"id":"ALPINE-CVE-2","affected":[{"package":{"ecosystem":"Alpine:v3.20","name":"libssl3"},
        "ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"},{"fixed":"3.3.1-r9"}]}]}]}])")));
  const auto ids = [&](const std::string& branch, const std::string& version) {
    ImagePackages image;
    image.os = {"alpine", branch, ""};
    image.packages = {{.type = "apk", .name = "libssl3", .version = version, .source = "openssl"}};
    std::string out;
    for (const Finding& finding : *(*data)->match(image)) out += finding.id + " ";
    return out;
  };
  EXPECT_EQ(ids("3.20.3", "3.3.1-r2"), "ALPINE-CVE-1 ALPINE-CVE-2 ");
  EXPECT_EQ(ids("3.20.3", "3.3.1-r9"), "ALPINE-CVE-1 ");
  EXPECT_EQ(ids("3.20.3", "3.3.1-r10"), "");
  EXPECT_EQ(ids("3.19.1", "3.3.1-r2"), "") << "another branch";
  EXPECT_EQ(ids("3.21_alpha20240923", "3.3.1-r2"), "");
  EXPECT_EQ(ids("", "3.3.1-r2"), "");
}

TEST_F(VulnerabilitiesTest, AnythingElseIsRefusedAndChangesNothing) {
  auto data = Vulnerabilities::open(dir_ / "v");
  ASSERT_TRUE((*data)->import(file(kDebian)));
  for (const char* text : {"", "{}", "nonsense", "[{\"id\":\"x\"}]", "{\"a\":{\"CVE-1\":{}", "PK\x03\x04 no zip"})
    EXPECT_FALSE((*data)->import(file(text))) << text;
  EXPECT_EQ((*data)->import(file("")).error().message, "the file is empty");
  EXPECT_EQ((*data)->revision(), 1);
  EXPECT_EQ((*data)->advisories(), 1);
}

}  // namespace
}  // namespace mainstay::provenance
