#include "crypto/sealing.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "base/encoding.h"
#include "base/files.h"
#include "base/ids.h"
#include "crypto/aead.h"

namespace mainstay::crypto {
namespace {

std::string unhex(std::string_view text) { return *base::hex_decode(text); }

struct Folder {
  std::filesystem::path path = std::filesystem::temp_directory_path() / ("sealing-" + base::random_hex(8));
  Folder() { std::filesystem::create_directories(path); }
  ~Folder() { std::filesystem::remove_all(path); }
};

TEST(Gcm, KnownVector) {  // McGrew and Viega, "The Galois/Counter Mode of Operation", test case 16
  const std::string key = unhex("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308");
  const std::string nonce = unhex("cafebabefacedbaddecaf888");
  const std::string associated = unhex("feedfacedeadbeeffeedfacedeadbeefabaddad2");
  const std::string plain = unhex(
      "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657"
      "ba637b39");
  std::string out = "kept";
  gcm_encrypt(key, nonce, associated, plain, out);
  EXPECT_EQ(
      base::hex(out.substr(4)),
      "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba"
      "7a0abcc9f66276fc6ece0f4e1768cddf8853bb2d551b");
  EXPECT_EQ(gcm_decrypt(key, nonce, associated, out.substr(4)), plain);
  EXPECT_EQ(gcm_decrypt(key, nonce, "other", out.substr(4)), std::nullopt);
  EXPECT_EQ(gcm_decrypt(key, nonce, associated, "short"), std::nullopt);
}

TEST(Sealer, RoundTrip) {
  const Sealer sealer(std::string(32, 'k'));
  for (std::size_t size : {0u, 1u, 15u, 16u, 17u, 4096u, 100'000u}) {
    const std::string plain(size, 'p');
    const std::string sealed = sealer.seal(plain, "core/secrets/shop/db");
    EXPECT_TRUE(Sealer::is_sealed(sealed));
    if (size >= 16) EXPECT_EQ(sealed.find(plain.substr(0, 16)), std::string::npos);
    auto opened = sealer.unseal(sealed, "core/secrets/shop/db");
    ASSERT_TRUE(opened) << opened.error().message;
    EXPECT_EQ(*opened, plain);
  }
  EXPECT_NE(sealer.seal("a", "c"), sealer.seal("a", "c"));
  EXPECT_FALSE(Sealer::is_sealed(R"({"kind":"Secret"})"));
  EXPECT_FALSE(Sealer::is_sealed(""));
}

TEST(Sealer, EveryAlteredByteIsNoticed) {
  const Sealer sealer(std::string(32, 'k'));
  const std::string sealed = sealer.seal("the password", "here");
  for (std::size_t i = 0; i < sealed.size(); ++i) {
    std::string altered = sealed;
    altered[i] = static_cast<char>(altered[i] ^ 1);
    EXPECT_FALSE(sealer.unseal(altered, "here")) << i;
    EXPECT_FALSE(sealer.unseal(sealed.substr(0, i), "here")) << i;
  }
  EXPECT_FALSE(sealer.unseal(sealed + "x", "here"));
}

TEST(Sealer, AValueMovedToAnotherObjectDoesNotOpen) {
  const Sealer sealer(std::string(32, 'k'));
  const std::string sealed = sealer.seal("the password", "core/secrets/shop/db");
  auto opened = sealer.unseal(sealed, "core/secrets/mallory/db");
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, base::ErrorCode::kInvalid);
  EXPECT_EQ(opened.error().message.find("password"), std::string::npos);
}

TEST(Sealer, AWrongMasterKeyIsNamedAsSuch) {
  const std::string sealed = Sealer(std::string(32, 'a')).seal("x", "c");
  auto opened = Sealer(std::string(32, 'b')).unseal(sealed, "c");
  ASSERT_FALSE(opened);
  EXPECT_NE(opened.error().message.find("another master key"), std::string::npos);
}

TEST(Sealer, KeepsItsKey) {
  const Folder folder;
  const auto path = folder.path / "master.key";
  auto first = Sealer::open(path);
  ASSERT_TRUE(first) << first.error().message;
  struct stat info{};
  ASSERT_EQ(stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  EXPECT_EQ(info.st_size, 32);
  const std::string sealed = first->seal("x", "c");
  auto second = Sealer::open(path);
  ASSERT_TRUE(second);
  EXPECT_EQ(second->unseal(sealed, "c").value_or(""), "x");

  ASSERT_TRUE(base::write_file(path, "too short", 0600));
  auto third = Sealer::open(path);
  ASSERT_FALSE(third);
  EXPECT_EQ(third.error().code, base::ErrorCode::kInvalid);
}

}  // namespace
}  // namespace mainstay::crypto
