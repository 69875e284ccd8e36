#include "crypto/key_ring.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "base/files.h"
#include "base/ids.h"
#include "crypto/sealing.h"

namespace mainstay::crypto {
namespace {

struct Folder {
  std::filesystem::path path = std::filesystem::temp_directory_path() / ("key-ring-" + base::random_hex(8));
  Folder() { std::filesystem::create_directories(path); }
  ~Folder() { std::filesystem::remove_all(path); }
  std::filesystem::path file() const { return path / "master.key"; }
};

TEST(KeyRing, FormatAndBack) {
  const KeyRing ring{{std::string(32, 'a'), std::string(32, 'b')}, true};
  const auto back = parse_ring(format_ring(ring));
  ASSERT_TRUE(back);
  EXPECT_EQ(back->keys, ring.keys);
  EXPECT_TRUE(back->rewrap_pending);
  EXPECT_EQ(parse_ring(std::string(32, 'x'))->keys.size(), 1u);
  EXPECT_FALSE(parse_ring(format_ring(ring).substr(0, 50)));
  EXPECT_FALSE(parse_ring(""));
}

TEST(KeyRing, Passphrase) {
  EXPECT_FALSE(derive("short"));
  const auto key = derive("correct horse battery");
  ASSERT_TRUE(key);
  const KeyRing ring{{std::string(32, 'a')}, false};
  const std::string file = wrap_ring(ring, *key);
  EXPECT_TRUE(is_wrapped(file));
  const auto opened = unwrap_ring(file, "correct horse battery");
  ASSERT_TRUE(opened);
  EXPECT_EQ(opened->ring.keys, ring.keys);
  EXPECT_EQ(unwrap_ring(file, "another passphrase").error().code, base::ErrorCode::kForbidden);
  std::string weakened = file;
  weakened[12] = '\x7f';  // an absurd number of passes is refused before it is tried
  EXPECT_EQ(unwrap_ring(weakened, "correct horse battery").error().code, base::ErrorCode::kInvalid);
  EXPECT_FALSE(unwrap_ring(file.substr(0, 40), "correct horse battery"));
}

TEST(Sealer, RotationKeepsTheOldReadable) {
  const Folder folder;
  std::string first, second;
  {
    auto sealer = Sealer::open(folder.file());
    ASSERT_TRUE(sealer);
    first = sealer->seal("one", "c");
    ASSERT_TRUE(sealer->rotate());
    EXPECT_FALSE(sealer->is_current(first));
    EXPECT_TRUE(sealer->rewrap_pending());
    second = sealer->seal("two", "c");
    EXPECT_TRUE(sealer->is_current(second));
    EXPECT_EQ(*sealer->unseal(first, "c"), "one");
  }
  auto sealer = Sealer::open(folder.file());  // after a crash
  ASSERT_TRUE(sealer);
  EXPECT_TRUE(sealer->rewrap_pending());
  EXPECT_EQ(*sealer->unseal(first, "c"), "one");
  const auto rewrapped = sealer->rewrap(first, "c");
  ASSERT_TRUE(rewrapped);
  EXPECT_TRUE(sealer->is_current(*rewrapped));
  EXPECT_EQ(*sealer->unseal(*rewrapped, "c"), "one");
  EXPECT_FALSE(sealer->rewrap(first, "another context"));
  ASSERT_TRUE(sealer->rewrap_done());
  EXPECT_FALSE(Sealer::open(folder.file())->rewrap_pending());
  EXPECT_EQ(sealer->keys(), 2u);
}

TEST(Sealer, PassphraseProtectsTheFile) {
  const Folder folder;
  std::string sealed;
  {
    auto sealer = Sealer::open(folder.file());
    ASSERT_TRUE(sealer);
    sealed = sealer->seal("one", "c");
  }
  auto sealer = Sealer::open(folder.file(), "correct horse battery");
  ASSERT_TRUE(sealer) << "a plain file is wrapped";
  EXPECT_TRUE(sealer->has_passphrase());
  EXPECT_EQ(*sealer->unseal(sealed, "c"), "one");
  ASSERT_TRUE(sealer->rotate());
  EXPECT_TRUE(is_wrapped(*base::read_file(folder.file())));
  EXPECT_EQ(Sealer::open(folder.file()).error().code, base::ErrorCode::kForbidden);
  EXPECT_EQ(Sealer::open(folder.file(), "not this passphrase").error().code, base::ErrorCode::kForbidden);
  EXPECT_EQ(*Sealer::open(folder.file(), "correct horse battery")->unseal(sealed, "c"), "one");
}

}  // namespace
}  // namespace mainstay::crypto
