#include "capabilities/provenance/packages.h"

#include <gtest/gtest.h>

namespace mainstay::provenance {
namespace {

TEST(Dpkg, ListsWhatIsInstalled) {
  const auto packages = parse_dpkg_status(
      "Package: libc6\nStatus: install ok installed\nPriority: optional\nMaintainer: GNU Libc Maintainers "
      "<x@y>\nArchitecture: amd64\n"
      "Source: glibc (2.36-9)\nVersion: 2.36-9+deb12u4\nDescription: GNU C Library\n Shared libraries\n Version: "
      "6.6.6\n .\n more\n"
      "\n\n"
      "Package: old\nStatus: deinstall ok config-files\nVersion: 1\n\n"
      "Package: bash\r\nStatus: install ok installed\r\nVersion: 5.2-1\r\n");
  ASSERT_EQ(packages.size(), 2u);
  EXPECT_EQ(packages[0].name, "libc6");
  EXPECT_EQ(packages[0].version, "2.36-9+deb12u4");
  EXPECT_EQ(packages[0].source, "glibc");
  EXPECT_EQ(packages[0].source_version, "2.36-9");
  EXPECT_EQ(packages[0].supplier, "GNU Libc Maintainers <x@y>");
  EXPECT_EQ(packages[1].name, "bash");
  EXPECT_EQ(packages[1].version, "5.2-1");
}

TEST(Dpkg, OfAStatusFolderHasNoStatus) {
  const auto packages = parse_dpkg_status("Package: tzdata\nVersion: 2024a\n");
  ASSERT_EQ(packages.size(), 1u);
  EXPECT_TRUE(parse_dpkg_status("").empty());
  EXPECT_TRUE(parse_dpkg_status("no colon\n: x\nPackage:\n").empty());
}

TEST(Apk, ListsWhatIsInstalled) {
  const auto packages = parse_apk_installed(
      "C:Q1abc=\nP:musl\nV:1.2.4-r2\nA:x86_64\nL:MIT\no:musl\nm:Somebody "
      "<a@b>\nF:lib\nR:ld-musl.so\n\nP:busybox\nV:1.36\nA:x86_64");
  ASSERT_EQ(packages.size(), 2u);
  EXPECT_EQ(packages[0].name, "musl");
  EXPECT_EQ(packages[0].license, "MIT");
  EXPECT_EQ(packages[1].name, "busybox");
}

TEST(Npm, ReadsNameAndVersion) {
  const auto packages = parse_npm_package(R"({"name":"@scope/x","version":"1.2.3","license":"MIT"})");
  ASSERT_EQ(packages.size(), 1u);
  EXPECT_EQ(package_url(packages[0], {}), "pkg:npm/%40scope/x@1.2.3");
  EXPECT_TRUE(parse_npm_package("{}").empty());
  EXPECT_TRUE(parse_npm_package("nonsense").empty());
  EXPECT_TRUE(parse_npm_package(R"({"name":1,"version":{}})").empty());
}

TEST(Python, ReadsTheHeaderOnly) {
  const auto packages =
      parse_python_metadata("Metadata-Version: 2.1\nName: Flask_Login\nVersion: 0.6\nLicense: MIT\n\nName: body\n");
  ASSERT_EQ(packages.size(), 1u);
  EXPECT_EQ(package_url(packages[0], {}), "pkg:pypi/flask-login@0.6");
}

TEST(PackageUrl, OfASystemPackage) {
  const auto os = parse_os_release("PRETTY_NAME=\"Debian GNU/Linux 12\"\nID=debian\n# x\nVERSION_ID='12'\n");
  EXPECT_EQ(os.pretty_name, "Debian GNU/Linux 12");
  Package package{.type = "deb", .name = "libstdc++6", .version = "1:12.2-1", .architecture = "amd64"};
  EXPECT_EQ(package_url(package, os), "pkg:deb/debian/libstdc%2B%2B6@1%3A12.2-1?arch=amd64&distro=debian-12");
  EXPECT_EQ(package_url({.type = "apk", .name = "musl", .version = "1"}, {}), "pkg:apk/alpine/musl@1");
}

TEST(Package, KeepsAllAcrossJson) {
  const Package package{"deb", "a", "1", "amd64", "s", "2", "MIT", "me"};
  EXPECT_EQ(package_from_json(to_json(package)), package);
}

}  // namespace
}  // namespace mainstay::provenance
