#include "crypto/keys.h"

#include <gtest/gtest.h>

#include <thread>

#include "base/encoding.h"
#include "base/json.h"
#include "crypto/digest.h"
#include "crypto/key_access.h"

namespace mainstay::crypto {
namespace {

// The key of RFC 7515, A.3, as SEC 1 without its public half: OpenSSL works that out.
constexpr std::string_view kRfc7515Pem = R"(-----BEGIN EC PRIVATE KEY-----
MDECAQEEII6bEJ5xkJi/mASH3x9dd+nLKWBuvtImO19XwhPfhPSyoAoGCCqGSM49
AwEH
-----END EC PRIVATE KEY-----
)";

TEST(PrivateKey, ThumbprintAndJwk) {
  // RFC 7638, 3.1: the canonical form's digest.
  EXPECT_EQ(
      base::base64url(sha256_raw(
          R"({"e":"AQAB","kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"})")),
      "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
  // RFC 9449, 6.1: an EC key's.
  EXPECT_EQ(ec_thumbprint("l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs", "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA"),
            "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I");
  auto key = PrivateKey::from_pem(kRfc7515Pem);
  ASSERT_TRUE(key) << key.error().message;
  EXPECT_EQ(key->key_id(), "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U");
  auto jwk = base::parse_json(key->public_jwk());
  ASSERT_TRUE(jwk);
  EXPECT_EQ(base::get_string(*jwk, "x"), "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU");
  EXPECT_EQ(base::get_string(*jwk, "y"), "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0");
  EXPECT_EQ(base::get_string(*jwk, "kid"), key->key_id());
  EXPECT_FALSE(jwk->get_object().contains("d"));
}

TEST(PrivateKey, PemRoundTrip) {
  const PrivateKey key = PrivateKey::generate();
  EXPECT_TRUE(key.to_pem().starts_with("-----BEGIN PRIVATE KEY-----"));
  auto again = PrivateKey::from_pem(key.to_pem());
  ASSERT_TRUE(again);
  EXPECT_EQ(again->key_id(), key.key_id());
  EXPECT_EQ(again->public_pem(), key.public_pem());
  EXPECT_NE(PrivateKey::generate().key_id(), key.key_id());
}

TEST(PrivateKey, RefusesWhatIsNotAPlainP256Key) {
  EXPECT_FALSE(PrivateKey::from_pem(""));
  EXPECT_FALSE(PrivateKey::from_pem("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"));
  EXPECT_FALSE(PrivateKey::from_pem(PrivateKey::generate().public_pem()));
  EXPECT_FALSE(PrivateKey::from_pem(std::string(1 << 20, 'x')));
  KeyPtr other(EVP_EC_gen("P-384"));
  BioPtr bio = writer();
  ASSERT_EQ(PEM_write_bio_PKCS8PrivateKey(bio.get(), other.get(), nullptr, nullptr, 0, nullptr, nullptr), 1);
  auto refused = PrivateKey::from_pem(contents(bio.get()));
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("P-256"), std::string::npos);
  BioPtr encrypted = writer();
  KeyPtr good(EVP_EC_gen("P-256"));
  ASSERT_EQ(
      PEM_write_bio_PKCS8PrivateKey(encrypted.get(), good.get(), EVP_aes_256_cbc(), "secret", 6, nullptr, nullptr), 1);
  EXPECT_FALSE(PrivateKey::from_pem(contents(encrypted.get())));  // and nobody was asked for a pass phrase
}

TEST(Signature, VerifiesAndNoticesEveryChange) {
  const PrivateKey key = PrivateKey::generate(), other = PrivateKey::generate();
  const std::string text = "a statement", signature = key.sign(text);
  EXPECT_TRUE(verify_signature(key.public_pem(), text, signature));
  EXPECT_FALSE(verify_signature(key.public_pem(), "a statement.", signature));
  EXPECT_FALSE(verify_signature(other.public_pem(), text, signature));
  EXPECT_FALSE(verify_signature("no key", text, signature));
  EXPECT_FALSE(verify_signature(key.public_pem(), text, ""));
  EXPECT_FALSE(verify_signature(key.public_pem(), text, signature + "x"));
  for (std::size_t i = 0; i < signature.size(); ++i) {
    std::string altered = signature;
    altered[i] = static_cast<char>(altered[i] ^ 1);
    EXPECT_FALSE(verify_signature(key.public_pem(), text, altered)) << i;
  }
}

TEST(Signature, ManyThreadsShareAKey) {
  const PrivateKey key = PrivateKey::generate();
  std::vector<std::thread> threads;
  std::atomic<int> good{0};
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 50; ++i) {
        const std::string text = fmt::format("{} {}", t, i);
        good += verify_signature(key.public_pem(), text, key.sign(text)) ? 1 : 0;
      }
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(good, 200);
}

}  // namespace
}  // namespace mainstay::crypto
