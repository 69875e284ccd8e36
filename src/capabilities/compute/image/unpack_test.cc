#include "capabilities/compute/image/unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "base/ids.h"
#include "capabilities/compute/fs.h"
#include "capabilities/compute/image/layers.h"

namespace mainstay::compute {
namespace {
namespace fs = std::filesystem;

struct Entry {
  std::string path;
  mode_t type = AE_IFREG;
  std::string content, link;
  bool hard = false;
};

std::string tar(const std::vector<Entry>& entries) {
  std::string out(1 << 20, '\0');
  std::size_t used = 0;
  archive* a = archive_write_new();
  archive_write_set_format_pax_restricted(a);
  archive_write_open_memory(a, out.data(), out.size(), &used);
  for (const Entry& e : entries) {
    archive_entry* entry = archive_entry_new();
    archive_entry_set_pathname(entry, e.path.c_str());
    archive_entry_set_filetype(entry, e.type);
    archive_entry_set_perm(entry, e.type == AE_IFDIR ? 0755 : 0644);
    archive_entry_set_size(entry, static_cast<la_int64_t>(e.content.size()));
    if (e.hard) archive_entry_set_hardlink(entry, e.link.c_str());
    if (!e.hard && !e.link.empty()) archive_entry_set_symlink(entry, e.link.c_str());
    archive_write_header(a, entry);
    archive_write_data(a, e.content.data(), e.content.size());
    archive_entry_free(entry);
  }
  archive_write_close(a);
  archive_write_free(a);
  out.resize(used);
  return out;
}

class Unpack : public ::testing::Test {
 protected:
  Unpack() : outer_(fs::temp_directory_path() / ("mainstay-unpack-" + base::random_hex(6))), root_(outer_ / "root") {
    fs::create_directories(root_);
  }
  ~Unpack() override { fs::remove_all(outer_); }
  base::Result<UnpackReport> run(const std::vector<Entry>& entries, const UnpackLimits& limits = {}) {
    return unpack_layer_bytes(tar(entries), root_, limits);
  }
  fs::path outer_, root_;
};

TEST_F(Unpack, WritesFilesLinksAndDirectories) {
  const auto report = run({{"usr/", AE_IFDIR},
                           {"usr/bin/tool", AE_IFREG, "#!"},
                           {"bin", AE_IFLNK, "", "usr/bin"},
                           {"usr/bin/again", AE_IFREG, "", "usr/bin/tool", true}});
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(slurp(root_ / "usr/bin/tool"), "#!");
  EXPECT_EQ(fs::read_symlink(root_ / "bin"), "usr/bin");
  EXPECT_EQ(fs::hard_link_count(root_ / "usr/bin/tool"), 2u);
}

TEST_F(Unpack, RefusesParentSegments) {
  EXPECT_FALSE(run({{"../evil", AE_IFREG, "x"}}));
  EXPECT_FALSE(run({{"a/../../evil", AE_IFREG, "x"}}));
  EXPECT_FALSE(run({{"a", AE_IFREG, "", "../../etc/passwd", true}}));
  EXPECT_FALSE(fs::exists(outer_ / "evil"));
}

TEST_F(Unpack, LinksNeverLeadOut) {
  fs::create_directories(outer_ / "outside");
  ASSERT_TRUE(run({{"out", AE_IFLNK, "", (outer_ / "outside").string()}, {"out/evil", AE_IFREG, "x"}}));
  EXPECT_FALSE(fs::exists(outer_ / "outside/evil"));
  ASSERT_TRUE(run({{"up", AE_IFLNK, "", "../outside"}, {"up/evil", AE_IFREG, "x"}}));
  EXPECT_FALSE(fs::exists(outer_ / "outside/evil"));
  ASSERT_TRUE(run({{"file", AE_IFLNK, "", (outer_ / "outside/new").string()}, {"file", AE_IFREG, "x"}}));
  EXPECT_FALSE(fs::exists(outer_ / "outside/new")) << "an entry replaces a link, it does not write through it";
  EXPECT_TRUE(fs::is_regular_file(fs::symlink_status(root_ / "file")));
}

TEST_F(Unpack, AbsolutePathsAreTheImages) {
  ASSERT_TRUE(run({{"/etc/motd", AE_IFREG, "hi"}}));
  EXPECT_EQ(slurp(root_ / "etc/motd"), "hi");
}

TEST_F(Unpack, LeavesDevicesOut) {
  const auto report = run({{"dev/sda", AE_IFBLK}, {"dev/mem", AE_IFCHR}, {"pipe", AE_IFIFO}});
  ASSERT_TRUE(report);
  EXPECT_EQ(report->skipped_devices, 3u);
  EXPECT_FALSE(fs::exists(root_ / "dev/sda"));
}

TEST_F(Unpack, TranslatesWhiteouts) {
  if (::geteuid() != 0) GTEST_SKIP() << "whiteouts are device nodes: needs root";
  ASSERT_TRUE(run(
      {{"etc/.wh.gone", AE_IFREG}, {"var/", AE_IFDIR}, {"var/.wh..wh..opq", AE_IFREG}, {".wh..wh.plnk", AE_IFREG}}));
  struct stat info{};
  ASSERT_EQ(::lstat((root_ / "etc/gone").c_str(), &info), 0);
  EXPECT_TRUE(S_ISCHR(info.st_mode));
  EXPECT_EQ(info.st_rdev, 0u);
  char value[4] = {};
  EXPECT_EQ(::getxattr((root_ / "var").c_str(), "trusted.overlay.opaque", value, sizeof value), 1);
  EXPECT_FALSE(fs::exists(root_ / ".wh..wh.plnk"));
  EXPECT_FALSE(run({{"a/.wh.", AE_IFREG}}));
  EXPECT_FALSE(run({{"a/.wh...", AE_IFREG}}));
}

TEST_F(Unpack, AFileAfterAWhiteoutOfItsNameReplacesIt) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  ASSERT_TRUE(run({{".wh.a", AE_IFREG}, {"a", AE_IFREG, "new"}, {".wh.d", AE_IFREG}, {"d/", AE_IFDIR}}));
  EXPECT_EQ(slurp(root_ / "a"), "new");
  char value[4] = {};
  EXPECT_EQ(::getxattr((root_ / "d").c_str(), "trusted.overlay.opaque", value, sizeof value), 1)
      << "hides what lies below";
}

TEST_F(Unpack, KeepsToItsLimits) {
  UnpackLimits limits;
  limits.max_bytes = 10;
  EXPECT_EQ(run({{"a", AE_IFREG, std::string(11, 'x')}}, limits).error().code, base::ErrorCode::kTooLarge);
  limits = {};
  limits.max_entries = 1;
  EXPECT_EQ(run({{"a"}, {"b"}}, limits).error().code, base::ErrorCode::kTooLarge);
}

TEST_F(Unpack, RefusesWhatIsNoTar) {
  EXPECT_EQ(unpack_layer_bytes("this is not an archive at all, is it?", root_).error().code, base::ErrorCode::kInvalid);
}

TEST_F(Unpack, LayerStoreUnpacksOnceAndForgetsHalves) {
  const std::string bytes = tar({{"a", AE_IFREG, "1"}});
  ASSERT_TRUE(write_light(outer_ / "blob", bytes));
  fs::create_directories(outer_ / "layers/.new-dead/fs");
  LayerStore store(outer_ / "layers");
  ASSERT_TRUE(store.open());
  EXPECT_FALSE(fs::exists(outer_ / "layers/.new-dead"));
  const std::string digest = "sha256:" + std::string(64, 'a');
  EXPECT_FALSE(store.has(digest));
  const auto layer = store.ensure(digest, outer_ / "blob");
  ASSERT_TRUE(layer) << layer.error().message;
  EXPECT_EQ(slurp(*layer / "a"), "1");
  fs::remove(outer_ / "blob");
  EXPECT_TRUE(store.ensure(digest, outer_ / "blob")) << "once is enough";
  ASSERT_TRUE(write_light(outer_ / "layers" / std::string(64, 'a') / "complete", "another boot"));
  EXPECT_FALSE(store.has(digest)) << "its bytes may not have reached the disk before the machine went down";
  EXPECT_FALSE(store.ensure("sha256:../../etc", outer_ / "blob"));
  EXPECT_EQ(store.collect({digest}, std::chrono::seconds(0)), 0);
  EXPECT_EQ(store.collect({}, std::chrono::seconds(0)), 1);
}

}  // namespace
}  // namespace mainstay::compute
