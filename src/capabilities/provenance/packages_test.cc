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

TEST(Npm, LockFilesOfAllVersions) {
  const auto lock = parse_npm_lock(R"({"lockfileVersion":3,"packages":{"":{"name":"app","version":"1.0.0"},
    "node_modules/left-pad":{"version":"1.3.0","license":"WTFPL"},
    "node_modules/@s/a/node_modules/b":{"version":"2.0.0"},
    "node_modules/jest":{"version":"29.0.0","dev":true}}})");
  ASSERT_EQ(lock.size(), 2u);
  EXPECT_EQ(lock[0].name, "left-pad");
  EXPECT_EQ(lock[1].name, "b");
  const auto old = parse_npm_lock(R"({"lockfileVersion":1,"dependencies":{"a":{"version":"1.0.0",
    "dependencies":{"b":{"version":"2.0.0"}}},"t":{"version":"3.0.0","dev":true}}})");
  ASSERT_EQ(old.size(), 2u);
  EXPECT_EQ(old[1].name, "b");
}

TEST(Cargo, TheWorkspacesOwnCratesAreLeftOut) {
  const auto crates = parse_cargo_lock(
      "version = 3\n\n[[package]]\nname = \"app\"\nversion = \"0.1.0\"\ndependencies = [\n "
      "\"serde\",\n]\n\n[[package]]\n"
      "name = \"serde\"\nversion = \"1.0.200\"\nsource = \"registry+https://x\"\nchecksum = \"ab\"\n");
  ASSERT_EQ(crates.size(), 1u);
  EXPECT_EQ(crates[0].name, "serde");
  EXPECT_EQ(crates[0].version, "1.0.200");
}

// A minimal ELF file with one section beside that of names.
std::string elf_with(std::string_view name, const std::string& content) {
  const std::string names = std::string("\0.shstrtab\0", 11) + std::string(name) + std::string(1, '\0');
  std::string out(
      "\x7f"
      "ELF\2\1\1",
      7);
  out.resize(64);
  const auto put = [&](std::size_t at, std::uint64_t value, int size) {
    for (int i = 0; i < size; ++i) out[at + static_cast<std::size_t>(i)] = static_cast<char>(value >> (8 * i));
  };
  const std::size_t names_at = out.size();
  out += names;
  const std::size_t content_at = out.size();
  out += content;
  const std::size_t table = out.size();
  out.resize(table + 3 * 64);
  put(40, table, 8);
  put(58, 64, 2);
  put(60, 3, 2);
  put(62, 1, 2);
  put(table + 64, 1, 4);
  put(table + 64 + 24, names_at, 8);
  put(table + 64 + 32, names.size(), 8);
  put(table + 128, 11, 4);
  put(table + 128 + 24, content_at, 8);
  put(table + 128 + 32, content.size(), 8);
  return out;
}

TEST(Program, OfGoSaysItsModules) {
  std::string info = "\xff Go buildinf:";
  info += '\x08';
  info += '\x02';
  info.resize(32);
  info +=
      "\x08"
      "go1.21.3";
  const std::string modules =
      std::string(16, '<') + "path\tx\nmod\tgithub.com/a/app\t(devel)\t\ndep\tgolang.org/x/net\tv0.7.0\th1:x\n" +
      "dep\tgithub.com/b/c\tv1.0.0\n=>\tgithub.com/fork/c\tv1.0.1\th1:y\n" + std::string(16, '>');
  ASSERT_GT(modules.size(), 127u);
  info += static_cast<char>((modules.size() & 0x7f) | 0x80);
  info += static_cast<char>(modules.size() >> 7);
  info += modules;
  const auto found = parse_executable(elf_with(".go.buildinfo", info));
  ASSERT_EQ(found.size(), 3u);
  EXPECT_EQ(found[0].name + "@" + found[0].version, "stdlib@1.21.3");
  EXPECT_EQ(found[1].name + "@" + found[1].version, "golang.org/x/net@v0.7.0");
  EXPECT_EQ(found[2].name + "@" + found[2].version, "github.com/fork/c@v1.0.1");
  EXPECT_TRUE(parse_executable(elf_with(".text", "nothing")).empty());
  EXPECT_TRUE(parse_executable("\x7f"
                               "ELF")
                  .empty());
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
