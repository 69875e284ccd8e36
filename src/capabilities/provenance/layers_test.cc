#include "capabilities/provenance/layers.h"

#include <gtest/gtest.h>

#include "base/files.h"
#include "base/ids.h"
#include "capabilities/provenance/spdx.h"
#include "capabilities/provenance/test_tar.h"

namespace mainstay::provenance {
namespace {

class LayersTest : public ::testing::Test {
 protected:
  void SetUp() override { std::filesystem::create_directories(dir_); }
  void TearDown() override { std::filesystem::remove_all(dir_); }
  std::shared_ptr<const LayerFacts> layer(const std::vector<std::pair<std::string, std::string>>& files,
                                          const char* filter = "gzip") {
    const auto path = dir_ / base::random_hex(4);
    write_layer(path, files, filter);
    auto facts = scan_layer(path);
    EXPECT_TRUE(facts) << facts.error().message;
    return std::make_shared<const LayerFacts>(*std::move(facts));
  }
  static std::string names(const ImagePackages& image) {
    std::string out;
    for (const auto& package : image.packages) out += package.type + ":" + package.name + "@" + package.version + " ";
    return out;
  }
  std::filesystem::path dir_ = std::filesystem::temp_directory_path() / ("mainstay-layers-" + base::random_hex(6));
};

TEST_F(LayersTest, FindsPackagesOfEveryKind) {
  for (const char* filter : {"gzip", "zstd", "none"}) {
    const auto facts =
        layer({{"./var/lib/dpkg/status", dpkg("bash", "5") + dpkg("tar", "1")},
               {"var/lib/dpkg/status.d/tzdata", "Package: tzdata\nVersion: 2024a\n"},
               {"var/lib/dpkg/status.d/tzdata.md5sums", "Package: not\nVersion: 1\n"},
               {"/lib/apk/db/installed", "P:musl\nV:1.2\n"},
               {"app/node_modules/left-pad/package.json", R"({"name":"left-pad","version":"1.3.0"})"},
               {"app/node_modules/@a/b/package.json", R"({"name":"@a/b","version":"2.0.0"})"},
               {"app/node_modules/left-pad/test/package.json", R"({"name":"inner","version":"1"})"},
               {"app/package.json", R"({"name":"own","version":"1"})"},
               {"usr/lib/python3/dist-packages/six-1.16.dist-info/METADATA", "Name: six\nVersion: 1.16\n"},
               {"usr/lib/os-release", "ID=debian\nVERSION_ID=12\n"}},
              filter);
    const auto image = merge_layers({facts});
    EXPECT_EQ(names(image),
              "apk:musl@1.2 deb:bash@5 deb:tar@1 deb:tzdata@2024a npm:@a/b@2.0.0 npm:left-pad@1.3.0 pypi:six@1.16 ");
    EXPECT_EQ(image.os.id, "debian");
  }
}

TEST_F(LayersTest, HonoursWhiteouts) {
  const auto base = layer({{"var/lib/dpkg/status", dpkg("bash", "5")},
                           {"app/node_modules/a/package.json", R"({"name":"a","version":"1"})"},
                           {"app/node_modules/b/package.json", R"({"name":"b","version":"1"})"},
                           {"opt/node_modules/c/package.json", R"({"name":"c","version":"1"})"}});
  EXPECT_EQ(names(merge_layers({base})), "deb:bash@5 npm:a@1 npm:b@1 npm:c@1 ");
  const auto removes_folder = layer({{"app/node_modules/.wh.a", ""}});
  EXPECT_EQ(names(merge_layers({base, removes_folder})), "deb:bash@5 npm:b@1 npm:c@1 ");
  const auto opaque =
      layer({{"app/.wh..wh..opq", ""}, {"app/node_modules/d/package.json", R"({"name":"d","version":"1"})"}});
  EXPECT_EQ(names(merge_layers({base, opaque})), "deb:bash@5 npm:c@1 npm:d@1 ");
  const auto replaced = layer({{"var/lib/dpkg/status", dpkg("bash", "6")}});
  EXPECT_EQ(names(merge_layers({base, replaced})), "deb:bash@6 npm:a@1 npm:b@1 npm:c@1 ");
  const auto everything = layer({{".wh..wh..opq", ""}});
  EXPECT_EQ(names(merge_layers({base, everything})), "");
}

TEST_F(LayersTest, RefusesWhatIsDamagedOrEndless) {
  const auto path = dir_ / "x";
  ASSERT_TRUE(base::write_file(path, "this is no archive at all, but text of some length that goes on and on\n"));
  EXPECT_FALSE(scan_layer(path));
  EXPECT_FALSE(scan_layer(dir_ / "missing"));
  write_layer(path, {{"a", std::string(2 << 20, 'x')}, {"b", "y"}});
  const auto content = base::read_file(path).value();
  EXPECT_EQ(scan_layer(path, {.max_bytes = 1 << 20}).error().code, base::ErrorCode::kTooLarge);
  EXPECT_EQ(scan_layer(path, {.max_entries = 1}).error().code, base::ErrorCode::kTooLarge);
  ASSERT_TRUE(base::write_file(path, content.substr(0, content.size() / 2)));
  EXPECT_FALSE(scan_layer(path));
}

TEST_F(LayersTest, PathsThatClimbOutAreIgnored) {
  const auto facts =
      layer({{"../../var/lib/dpkg/status", dpkg("evil", "1")}, {"x/../var/lib/dpkg/status", dpkg("evil", "2")}});
  EXPECT_TRUE(facts->files.empty());
}

TEST_F(LayersTest, FactsKeepAllAcrossJson) {
  const auto facts = layer({{"var/lib/dpkg/status", dpkg("bash", "5")},
                            {"a/.wh.b", ""},
                            {"c/.wh..wh..opq", ""},
                            {"etc/os-release", "ID=x\n"}});
  const auto again = facts_from_json(base::to_json(to_json(*facts)));
  ASSERT_TRUE(again);
  EXPECT_EQ(again->files, facts->files);
  EXPECT_EQ(again->whiteouts, facts->whiteouts);
  EXPECT_EQ(again->opaque, facts->opaque);
  EXPECT_EQ(again->os_release, facts->os_release);
  EXPECT_FALSE(facts_from_json("{}"));
}

TEST_F(LayersTest, SpdxNamesEachPackage) {
  const auto facts =
      layer({{"var/lib/dpkg/status", dpkg("libstdc++6", "12")}, {"etc/os-release", "ID=debian\nVERSION_ID=12\n"}});
  const SbomSubject subject{"127.0.0.1:6443/demo/hello", "sha256:" + std::string(64, 'a'), "https://127.0.0.1:6443",
                            "2026-01-01T00:00:00.123456Z"};
  const auto text = spdx_document(subject, merge_layers({facts}));
  EXPECT_EQ(text, spdx_document(subject, merge_layers({facts})));
  const auto document = base::parse_json(text).value();
  EXPECT_EQ(base::get_string(document, "spdxVersion"), "SPDX-2.3");
  EXPECT_EQ(base::get_string(document, "creationInfo.created"), "2026-01-01T00:00:00Z");
  const auto& packages = base::get_array(document, "packages");
  ASSERT_EQ(packages.size(), 2u);
  EXPECT_EQ(base::get_string(packages[1], "SPDXID"), "SPDXRef-Package-deb-libstdc--6-1");
  EXPECT_EQ(base::get_string(base::get_array(packages[1], "externalRefs")[0], "referenceLocator"),
            "pkg:deb/debian/libstdc%2B%2B6@12?arch=amd64&distro=debian-12");
  EXPECT_EQ(base::get_array(document, "relationships").size(), 2u);
}

}  // namespace
}  // namespace mainstay::provenance
