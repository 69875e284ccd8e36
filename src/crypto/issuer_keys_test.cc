#include "crypto/issuer_keys.h"

#include <gtest/gtest.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>

#include "base/encoding.h"
#include "base/json.h"
#include "base/strings.h"
#include "crypto/openssl.h"

namespace mainstay::crypto {
namespace {

namespace json = boost::json;

std::string number(EVP_PKEY* key, const char* name, int width = 0) {
  BIGNUM* raw = nullptr;
  must(EVP_PKEY_get_bn_param(key, name, &raw) == 1, name);
  BignumPtr bn(raw);
  std::string out(static_cast<std::size_t>(width > 0 ? width : BN_num_bytes(raw)), '\0');
  must(BN_bn2binpad(raw, bytes_of(out), static_cast<int>(out.size())) > 0, name);
  return base::base64url(out);
}

// An issuer's key pair: what it publishes and how it signs.
struct Signer {
  KeyPtr key;
  json::object jwk;

  static Signer rsa(std::string kid, unsigned bits = 2048) {
    Signer out{KeyPtr(EVP_RSA_gen(bits)), {}};
    out.jwk = {{"kty", "RSA"},
               {"kid", kid},
               {"n", number(out.key.get(), OSSL_PKEY_PARAM_RSA_N)},
               {"e", number(out.key.get(), OSSL_PKEY_PARAM_RSA_E)}};
    return out;
  }
  static Signer ec(std::string kid, const char* curve = "P-256") {
    Signer out{KeyPtr(EVP_EC_gen(curve)), {}};
    const int width = std::string_view(curve) == "P-256" ? 32 : 48;
    out.jwk = {{"kty", "EC"},
               {"kid", kid},
               {"crv", curve},
               {"x", number(out.key.get(), OSSL_PKEY_PARAM_EC_PUB_X, width)},
               {"y", number(out.key.get(), OSSL_PKEY_PARAM_EC_PUB_Y, width)}};
    return out;
  }
  static Signer ed(std::string kid) {
    Signer out{KeyPtr(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519")), {}};
    std::string x(32, '\0');
    std::size_t size = x.size();
    must(EVP_PKEY_get_raw_public_key(out.key.get(), bytes_of(x), &size) == 1, "raw");
    out.jwk = {{"kty", "OKP"}, {"kid", kid}, {"crv", "Ed25519"}, {"x", base::base64url(x)}};
    return out;
  }

  std::string raw(std::string_view algorithm, std::string_view text) const {
    DigestContextPtr context(EVP_MD_CTX_new());
    EVP_PKEY_CTX* details = nullptr;
    must(EVP_DigestSignInit(context.get(), &details, algorithm == "EdDSA" ? nullptr : EVP_sha256(), nullptr,
                            key.get()) == 1,
         "init");
    if (algorithm == "PS256") {
      EVP_PKEY_CTX_set_rsa_padding(details, RSA_PKCS1_PSS_PADDING);
      EVP_PKEY_CTX_set_rsa_pss_saltlen(details, RSA_PSS_SALTLEN_DIGEST);
    }
    std::string out(1024, '\0');
    std::size_t size = out.size();
    must(EVP_DigestSign(context.get(), bytes_of(out), &size, bytes_of(text), text.size()) == 1, "sign");
    out.resize(size);
    if (algorithm != "ES256") return out;
    const unsigned char* at = bytes_of(std::as_const(out));
    std::unique_ptr<ECDSA_SIG, Freer<ECDSA_SIG_free>> parsed(
        d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(out.size())));
    std::string pair(64, '\0');
    BN_bn2binpad(ECDSA_SIG_get0_r(parsed.get()), bytes_of(pair), 32);
    BN_bn2binpad(ECDSA_SIG_get0_s(parsed.get()), bytes_of(pair) + 32, 32);
    return pair;
  }
  std::string token(std::string_view algorithm, json::object header = {}) const {
    header["alg"] = algorithm;
    if (!header.contains("kid")) header["kid"] = jwk.at("kid");
    if (header.at("kid").is_null()) header.erase("kid");
    const std::string text =
        base::base64url(json::serialize(header)) + "." + base::base64url(R"({"iss":"https://corp","sub":"7"})");
    return text + "." + base::base64url(raw(algorithm, text));
  }
};

std::string set_of(std::initializer_list<json::object> keys) {
  return json::serialize(json::object{{"keys", json::array(keys.begin(), keys.end())}});
}
json::object with(json::object jwk, std::string_view name, json::value value) {
  jwk[name] = std::move(value);
  return jwk;
}

class ForeignTokens : public testing::Test {
 protected:
  // "" where it verifies, else what is wrong.
  std::string refusal(const std::string& set, const std::string& token,
                      base::ErrorCode code = base::ErrorCode::kUnauthenticated) const {
    const auto keys = IssuerKeys::parse(set);
    EXPECT_TRUE(keys);
    const auto claims = keys->verify(token);
    if (claims) {
      EXPECT_EQ(base::get_string(json::value(*claims), "sub"), "7");
      return "";
    }
    EXPECT_EQ(claims.error().code, code) << claims.error().message;
    EXPECT_EQ(claims.error().message.find("eyJ"), std::string::npos);
    return claims.error().message;
  }
  static void SetUpTestSuite() {
    rsa_ = new Signer(Signer::rsa("r"));
    ec_ = new Signer(Signer::ec("c"));
    ed_ = new Signer(Signer::ed("d"));
  }
  static void TearDownTestSuite() { delete rsa_, delete ec_, delete ed_; }
  static inline Signer *rsa_ = nullptr, *ec_ = nullptr, *ed_ = nullptr;
  const std::string all_ = set_of({rsa_->jwk, ec_->jwk, ed_->jwk});
};

TEST_F(ForeignTokens, OfEveryAlgorithmThatCounts) {
  EXPECT_EQ(refusal(all_, rsa_->token("RS256")), "");
  EXPECT_EQ(refusal(all_, rsa_->token("PS256")), "");
  EXPECT_EQ(refusal(all_, ec_->token("ES256")), "");
  EXPECT_EQ(refusal(all_, ed_->token("EdDSA")), "");
}

TEST_F(ForeignTokens, AnyChangeIsSeen) {
  for (const std::string& token :
       {rsa_->token("RS256"), rsa_->token("PS256"), ec_->token("ES256"), ed_->token("EdDSA")}) {
    const auto parts = base::split(token, '.');
    EXPECT_NE(refusal(all_, fmt::format("{}.{}.{}", parts[0], base::base64url(R"({"sub":"admin"})"), parts[2])), "");
    std::string other(token);
    other[other.size() - 20] = other[other.size() - 20] == 'A' ? 'B' : 'A';
    EXPECT_NE(refusal(all_, other), "");
    EXPECT_NE(refusal(all_, fmt::format("{}.{}.", parts[0], parts[1])), "");
    EXPECT_NE(refusal(all_, fmt::format("{}.{}", parts[0], parts[1])), "");
    EXPECT_NE(refusal(all_, token + ".x"), "");
  }
}

TEST_F(ForeignTokens, NoneAndHmacNeverCount) {
  const auto unsigned_token = [](std::string_view header, std::string_view signature) {
    return base::base64url(header) + "." + base::base64url(R"({"sub":"7"})") + "." + base::base64url(signature);
  };
  for (const char* alg : {"none", "None", "nOnE", "", "HS256", "HS512", "RS1", "ES384", "RS384"})
    EXPECT_NE(refusal(all_, unsigned_token(fmt::format(R"({{"alg":"{}","kid":"r"}})", alg), "x")), "") << alg;
  EXPECT_NE(refusal(all_, unsigned_token(R"({"kid":"r"})", "x")), "");
  EXPECT_NE(refusal(all_, unsigned_token(R"({"alg":["RS256"],"kid":"r"})", "x")), "");
  // The classic confusion: HMAC with the public key's text as the secret.
  BioPtr bio = writer();
  PEM_write_bio_PUBKEY(bio.get(), rsa_->key.get());
  const std::string pem = contents(bio.get()),
                    text = base::base64url(R"({"alg":"HS256","kid":"r"})") + "." + base::base64url(R"({"sub":"7"})");
  unsigned char mac[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  HMAC(EVP_sha256(), pem.data(), static_cast<int>(pem.size()), bytes_of(text), text.size(), mac, &size);
  EXPECT_NE(refusal(all_, text + "." + base::base64url(std::string_view(reinterpret_cast<char*>(mac), size))), "");
}

TEST_F(ForeignTokens, TheKeySaysWhatItIsFor) {
  constexpr auto kUnknown = base::ErrorCode::kNotFound;
  EXPECT_EQ(refusal(set_of({with(rsa_->jwk, "alg", "RS256")}), rsa_->token("RS256")), "");
  EXPECT_NE(refusal(set_of({with(rsa_->jwk, "alg", "RS256")}), rsa_->token("PS256"), kUnknown), "");
  EXPECT_NE(refusal(set_of({with(rsa_->jwk, "use", "enc")}), rsa_->token("RS256"), kUnknown), "");
  EXPECT_EQ(refusal(set_of({with(rsa_->jwk, "use", "sig")}), rsa_->token("RS256")), "");
  // Another algorithm in the header than the one that signed.
  EXPECT_NE(refusal(all_, rsa_->token("RS256", {{"kid", "c"}}), kUnknown), "");
  const std::string small = set_of({Signer::rsa("r", 1024).jwk});
  EXPECT_EQ(IssuerKeys::parse(small)->size(), 0u);
  EXPECT_EQ(IssuerKeys::parse(set_of({Signer::ec("c", "P-384").jwk}))->size(), 0u);
}

TEST_F(ForeignTokens, AKeyThatIsNotThereYetIsToldFromAForgery) {
  const Signer next = Signer::ec("next"), impostor = Signer::ec("c");
  EXPECT_NE(refusal(all_, next.token("ES256"), base::ErrorCode::kNotFound), "");
  EXPECT_EQ(refusal(set_of({next.jwk, ec_->jwk}), next.token("ES256")), "");
  EXPECT_NE(refusal(all_, impostor.token("ES256")), "");
  // Without a kid: one key that fits is enough, of several none is guessed.
  EXPECT_EQ(refusal(all_, ec_->token("ES256", {{"kid", nullptr}})), "");
  EXPECT_NE(refusal(set_of({ec_->jwk, next.jwk}), ec_->token("ES256", {{"kid", nullptr}})), "");
  EXPECT_NE(refusal(all_, next.token("ES256", {{"kid", nullptr}}), base::ErrorCode::kNotFound), "");
  EXPECT_NE(refusal(all_, ec_->token("ES256", {{"crit", json::array{"exp"}}})), "");
}

TEST_F(ForeignTokens, WhatIsNoKeySetIsRefused) {
  for (const char* bad : {"", "[]", "{}", R"({"keys":{}})", "x"}) EXPECT_FALSE(IssuerKeys::parse(bad)) << bad;
  const auto odd = IssuerKeys::parse(
      R"({"keys":[1,{},{"kty":"RSA"},{"kty":"EC","crv":"P-256","x":"AA","y":"AA"},{"kty":"OKP","crv":"Ed25519","x":"AA"},
          {"kty":"oct","k":"AAAA"},{"kty":"EC","crv":"P-256","x":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
           "y":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}]})");
  ASSERT_TRUE(odd);
  EXPECT_EQ(odd->size(), 0u) << "also a point that is not on the curve";
  json::array many(101, json::object{});
  EXPECT_FALSE(IssuerKeys::parse(json::serialize(json::object{{"keys", many}})));
}

}  // namespace
}  // namespace mainstay::crypto
