#include "crypto/issuer_keys.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>

#include <algorithm>

#include "base/encoding.h"
#include "base/json.h"
#include "base/strings.h"
#include "crypto/openssl.h"

namespace mainstay::crypto {
namespace {

using base::ErrorCode;
using base::fail;
namespace json = boost::json;

constexpr std::size_t kMaxSet = 256u << 10, kMaxKeys = 100, kMaxToken = 64u << 10, kMaxDepth = 16;
constexpr int kMinRsaBits = 2048, kMaxRsaBits = 8192;               // above, a verification would take the loop's time
constexpr std::size_t kP256 = 32, kEd25519 = 32, kMaxExponent = 8;  // bytes

using ParamBuilderPtr = std::unique_ptr<OSSL_PARAM_BLD, Freer<OSSL_PARAM_BLD_free>>;
using ParamsPtr = std::unique_ptr<OSSL_PARAM, Freer<OSSL_PARAM_free>>;
using EcdsaPtr = std::unique_ptr<ECDSA_SIG, Freer<ECDSA_SIG_free>>;

std::unexpected<base::Error> refuse(std::string why) { return fail(ErrorCode::kUnauthenticated, std::move(why)); }

// A member of base64url bytes; "" where missing or not such.
std::string bytes_at(const json::object& jwk, std::string_view name) {
  const json::value* value = jwk.if_contains(name);
  if (value == nullptr || !value->is_string()) return "";
  auto out = base::base64url_decode(std::string_view(value->get_string()));
  return out ? *std::move(out) : "";
}

std::string text_at(const json::object& object, std::string_view name) {
  const json::value* value = object.if_contains(name);
  return value != nullptr && value->is_string() ? std::string(value->get_string()) : "";
}

KeyPtr key_from(const char* type, OSSL_PARAM_BLD* builder) {
  ParamsPtr params(OSSL_PARAM_BLD_to_param(builder));
  KeyContextPtr context(EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr));
  must(params && context && EVP_PKEY_fromdata_init(context.get()) == 1, "EVP_PKEY_fromdata_init");
  EVP_PKEY* raw = nullptr;
  const bool made = EVP_PKEY_fromdata(context.get(), &raw, EVP_PKEY_PUBLIC_KEY, params.get()) == 1;
  KeyPtr key(raw);
  if (!made) return nullptr;
  KeyContextPtr check(EVP_PKEY_CTX_new(key.get(), nullptr));
  must(check != nullptr, "EVP_PKEY_CTX_new");
  return EVP_PKEY_public_check(check.get()) == 1 ? std::move(key) : nullptr;
}

KeyPtr rsa_key(const json::object& jwk) {
  const std::string modulus = bytes_at(jwk, "n"), exponent = bytes_at(jwk, "e");
  if (modulus.empty() || modulus.size() > kMaxRsaBits / 8 + 1 || exponent.empty() || exponent.size() > kMaxExponent)
    return nullptr;
  BignumPtr n(BN_bin2bn(bytes_of(modulus), static_cast<int>(modulus.size()), nullptr)),
      e(BN_bin2bn(bytes_of(exponent), static_cast<int>(exponent.size()), nullptr));
  ParamBuilderPtr builder(OSSL_PARAM_BLD_new());
  must(n && e && builder && OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, n.get()) == 1 &&
           OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, e.get()) == 1,
       "OSSL_PARAM_BLD_push_BN");
  if (BN_num_bits(n.get()) < kMinRsaBits || BN_num_bits(n.get()) > kMaxRsaBits) return nullptr;
  return key_from("RSA", builder.get());
}

KeyPtr ec_key(const json::object& jwk) {
  const std::string x = bytes_at(jwk, "x"), y = bytes_at(jwk, "y");
  if (text_at(jwk, "crv") != "P-256" || x.size() != kP256 || y.size() != kP256) return nullptr;
  const std::string point = '\4' + x + y;  // uncompressed, SEC 1, 2.3.3
  ParamBuilderPtr builder(OSSL_PARAM_BLD_new());
  must(builder &&
           OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, SN_X9_62_prime256v1, 0) == 1 &&
           OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(), point.size()) == 1,
       "OSSL_PARAM_BLD_push");
  return key_from("EC", builder.get());
}

KeyPtr ed25519_key(const json::object& jwk) {
  const std::string x = bytes_at(jwk, "x");
  if (text_at(jwk, "crv") != "Ed25519" || x.size() != kEd25519) return nullptr;
  return KeyPtr(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, bytes_of(x), x.size()));
}

KeyPtr read_key(const json::object& jwk) {
  const std::string type = text_at(jwk, "kty"), use = text_at(jwk, "use");
  if (!use.empty() && use != "sig") return nullptr;
  KeyPtr key;
  if (type == "RSA") key = rsa_key(jwk);
  if (type == "EC") key = ec_key(jwk);
  if (type == "OKP") key = ed25519_key(jwk);
  ERR_clear_error();
  return key;
}

// The type of key that an algorithm is for; nullptr for the algorithms that do not count here.
const char* type_for(std::string_view algorithm) {
  if (algorithm == "RS256" || algorithm == "PS256") return "RSA";
  if (algorithm == "ES256") return "EC";
  if (algorithm == "EdDSA") return "ED25519";
  return nullptr;
}

// JWS has r and s side by side (RFC 7518, 3.4), OpenSSL wants them in DER. "" where it is none.
std::string ecdsa_der(std::string_view raw) {
  if (raw.size() != 2 * kP256) return "";
  BignumPtr r(BN_bin2bn(bytes_of(raw), kP256, nullptr)), s(BN_bin2bn(bytes_of(raw) + kP256, kP256, nullptr));
  EcdsaPtr signature(ECDSA_SIG_new());
  must(r && s && signature && ECDSA_SIG_set0(signature.get(), r.get(), s.get()) == 1, "ECDSA_SIG_set0");
  r.release(), s.release();  // they are the signature's now
  std::string out(80, '\0');
  unsigned char* end = bytes_of(out);
  const int size = i2d_ECDSA_SIG(signature.get(), &end);
  must(size > 0, "i2d_ECDSA_SIG");
  out.resize(static_cast<std::size_t>(size));
  return out;
}

bool good_signature(EVP_PKEY* key, std::string_view algorithm, std::string_view signed_text, std::string signature) {
  if (algorithm == "ES256") signature = ecdsa_der(signature);
  if (signature.empty()) return false;
  DigestContextPtr context(EVP_MD_CTX_new());
  EVP_PKEY_CTX* details = nullptr;
  const EVP_MD* digest = algorithm == "EdDSA" ? nullptr : EVP_sha256();
  must(context && EVP_DigestVerifyInit(context.get(), &details, digest, nullptr, key) == 1, "EVP_DigestVerifyInit");
  if (algorithm == "PS256") {
    // RFC 7518, 3.5: MGF1 with the same digest, a salt as long as it.
    must(EVP_PKEY_CTX_set_rsa_padding(details, RSA_PKCS1_PSS_PADDING) == 1 &&
             EVP_PKEY_CTX_set_rsa_pss_saltlen(details, RSA_PSS_SALTLEN_DIGEST) == 1,
         "EVP_PKEY_CTX_set_rsa_padding");
  }
  const bool good = EVP_DigestVerify(context.get(), bytes_of(signature), signature.size(), bytes_of(signed_text),
                                     signed_text.size()) == 1;
  ERR_clear_error();
  return good;
}

base::Result<json::object> part(std::string_view text, std::string_view what) {
  auto bytes = base::base64url_decode(text);
  if (!bytes) return refuse(fmt::format("the token's {} is not base64url", what));
  auto parsed = base::parse_json(*bytes, kMaxDepth);
  if (!parsed || !parsed->is_object()) return refuse(fmt::format("the token's {} is not a JSON object", what));
  return std::move(parsed->get_object());
}

}  // namespace

base::Result<IssuerKeys> IssuerKeys::parse(std::string_view jwk_set) {
  if (jwk_set.size() > kMaxSet) return fail(ErrorCode::kTooLarge, "a key set of more than 256 KiB");
  auto parsed = base::parse_json(jwk_set, kMaxDepth);
  const json::value* list = parsed && parsed->is_object() ? parsed->get_object().if_contains("keys") : nullptr;
  if (list == nullptr || !list->is_array()) return fail(ErrorCode::kInvalid, "not a JWK Set: there is no list of keys");
  if (list->get_array().size() > kMaxKeys)
    return fail(ErrorCode::kInvalid, fmt::format("a key set of more than {} keys", kMaxKeys));
  IssuerKeys out;
  for (const json::value& entry : list->get_array()) {
    if (!entry.is_object()) continue;
    const json::object& jwk = entry.get_object();
    if (KeyPtr key = read_key(jwk))
      out.keys_.push_back({text_at(jwk, "kid"), text_at(jwk, "alg"), std::shared_ptr<EVP_PKEY>(std::move(key))});
  }
  return out;
}

base::Result<json::object> IssuerKeys::verify(std::string_view token) const {
  if (token.size() > kMaxToken) return refuse("the token is larger than 64 KiB");
  const auto parts = base::split(token, '.');
  if (parts.size() != 3) return refuse("not a signed JSON Web Token");
  MAINSTAY_TRY(const json::object header, part(parts[0], "header"));
  const std::string algorithm = text_at(header, "alg"), id = text_at(header, "kid");
  const char* type = type_for(algorithm);
  if (type == nullptr) return refuse("the token's algorithm (alg) is none of RS256, PS256, ES256 and EdDSA");
  if (header.contains("crit")) return refuse("the token asks for an extension (crit) that is not known here");
  auto signature = base::base64url_decode(parts[2]);
  if (!signature || signature->empty()) return refuse("the token is not signed");
  std::vector<const Key*> fitting;
  for (const Key& key : keys_) {
    const bool fits = EVP_PKEY_is_a(static_cast<EVP_PKEY*>(key.key.get()), type) == 1 &&
                      (key.algorithm.empty() || key.algorithm == algorithm);
    if (fits && (id.empty() || key.id == id)) fitting.push_back(&key);
  }
  // Without a kid there must be one key that it can be (OpenID Connect Core 10.1).
  if (id.empty() && fitting.size() > 1) return refuse("the token does not say which of the keys (kid) signed it");
  const std::string_view signed_text = token.substr(0, parts[0].size() + 1 + parts[1].size());
  const bool good = std::any_of(fitting.begin(), fitting.end(), [&](const Key* key) {
    return good_signature(static_cast<EVP_PKEY*>(key->key.get()), algorithm, signed_text, *signature);
  });
  if (good) return part(parts[1], "payload");
  if (fitting.empty()) return fail(ErrorCode::kNotFound, "the issuer has no key (kid) that can have signed the token");
  // A key that has no id may have been replaced by another.
  return fail(id.empty() ? ErrorCode::kNotFound : ErrorCode::kUnauthenticated, "the token's signature does not verify");
}

}  // namespace mainstay::crypto
