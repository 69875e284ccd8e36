#include "crypto/digest.h"

#include <gtest/gtest.h>

#include "base/encoding.h"

namespace mainstay::crypto {
namespace {

std::string digest(Sha256 hash) { return hash.finish_hex(); }

TEST(Sha256, KnownVectors) {  // FIPS 180-4 examples
  EXPECT_EQ(sha256_hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256_hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(sha256_hex(std::string(1'000'000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, OneShotAgreesWithPieces) {
  std::string text;
  for (int i = 0; i < 1000; ++i) text.push_back(static_cast<char>(i * 7));
  Sha256 hash;
  for (std::size_t at = 0, step = 1; at < text.size(); at += step, ++step)
    hash.update(std::string_view(text).substr(at, step));
  EXPECT_EQ(hash.finish_hex(), sha256_hex(text));
  EXPECT_EQ(base::hex(sha256_raw(text)), sha256_hex(text));
}

TEST(Sha256, RestoresAtEveryPosition) {
  const std::string text(200, 'x');
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    Sha256 first;
    first.update(std::string_view(text).substr(0, cut));
    auto second = Sha256::restore(first.save());
    ASSERT_TRUE(second) << cut;
    second->update(std::string_view(text).substr(cut));
    EXPECT_EQ(digest(*std::move(second)), sha256_hex(text)) << cut;
    first.update(std::string_view(text).substr(cut));  // saving does not disturb
    EXPECT_EQ(digest(std::move(first)), sha256_hex(text)) << cut;
  }
}

TEST(Sha256, RefusesAStateThatIsNotOne) {
  Sha256 hash;
  hash.update("hello");
  const std::string state = hash.save();
  EXPECT_FALSE(Sha256::restore(""));
  EXPECT_FALSE(Sha256::restore("something else, long enough to be a state of this version, or so it seems"));
  EXPECT_FALSE(Sha256::restore(state.substr(0, state.size() - 1)));
  EXPECT_FALSE(Sha256::restore(state + "x"));
}

TEST(Hmac, KnownVectors) {  // RFC 4231, case 2; and an empty key
  EXPECT_EQ(base::hex(hmac_sha256("Jefe", "what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  EXPECT_EQ(base::hex(hmac_sha256("", "")), "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
  EXPECT_EQ(base::hex(hmac_sha256(std::string_view(), "")), base::hex(hmac_sha256("", "")));
}

}  // namespace
}  // namespace mainstay::crypto
