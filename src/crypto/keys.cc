#include "crypto/keys.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>

#include "base/encoding.h"
#include "crypto/digest.h"
#include "crypto/key_access.h"

namespace mainstay::crypto {
namespace {

using base::ErrorCode;
using base::fail;

constexpr std::size_t kCoordinate = 32;     // bytes, P-256
constexpr std::size_t kMaxPem = 64u << 10;  // a key or certificate is some hundred bytes; OpenSSL takes int sizes
constexpr std::size_t kMaxSignature = 72;   // DER of two 256-bit integers

// Without it OpenSSL would ask for a pass phrase on the terminal.
int no_passphrase(char*, int, int, void*) { return -1; }

std::string coordinate(EVP_PKEY* key, const char* name) {
  BIGNUM* raw = nullptr;
  must(EVP_PKEY_get_bn_param(key, name, &raw) == 1, "EVP_PKEY_get_bn_param");
  BignumPtr number(raw);
  std::string out(kCoordinate, '\0');
  must(BN_bn2binpad(number.get(), bytes_of(out), static_cast<int>(out.size())) == static_cast<int>(out.size()),
       "BN_bn2binpad");
  return out;
}

cjose_jwk_t* make_jwk(std::string& x, std::string& y, std::string& d) {
  cjose_jwk_ec_keyspec spec{};
  spec.crv = CJOSE_JWK_EC_P_256;
  spec.d = bytes_of(d), spec.dlen = d.size();
  spec.x = bytes_of(x), spec.xlen = x.size();
  spec.y = bytes_of(y), spec.ylen = y.size();
  cjose_err error{};
  cjose_jwk_t* jwk = cjose_jwk_create_EC_spec(&spec, &error);
  OPENSSL_cleanse(d.data(), d.size());
  must(jwk != nullptr, "cjose_jwk_create_EC_spec");
  return jwk;
}

}  // namespace

struct PrivateKey::Derived {
  std::string id, public_jwk, public_pem;
  std::unique_ptr<cjose_jwk_t, Freer<cjose_jwk_release>> jwk;
};

const cjose_jwk_t* KeyAccess::jwk(const PrivateKey& key) { return key.derived_->jwk.get(); }

PrivateKey KeyAccess::wrap(KeyPtr key) {
  auto derived = std::make_shared<PrivateKey::Derived>();
  std::string x = coordinate(key.get(), OSSL_PKEY_PARAM_EC_PUB_X);
  std::string y = coordinate(key.get(), OSSL_PKEY_PARAM_EC_PUB_Y);
  std::string d = coordinate(key.get(), OSSL_PKEY_PARAM_PRIV_KEY);
  derived->id = ec_thumbprint(base::base64url(x), base::base64url(y));
  derived->public_jwk =
      fmt::format(R"({{"kty":"EC","crv":"P-256","x":"{}","y":"{}","kid":"{}","use":"sig","alg":"ES256"}})",
                  base::base64url(x), base::base64url(y), derived->id);
  derived->public_pem = write_public_pem(key.get());
  derived->jwk.reset(make_jwk(x, y, d));
  PrivateKey out;
  out.key_ = std::shared_ptr<EVP_PKEY>(std::move(key));
  out.derived_ = std::move(derived);
  return out;
}

bool is_p256(EVP_PKEY* key) {
  char group[64];
  std::size_t size = 0;
  return EVP_PKEY_is_a(key, "EC") == 1 && EVP_PKEY_get_group_name(key, group, sizeof group, &size) == 1 &&
         std::string_view(group, size) == SN_X9_62_prime256v1;
}

base::Result<KeyPtr> read_public_pem(std::string_view pem) {
  if (pem.size() > kMaxPem) return fail(ErrorCode::kTooLarge, "a public key of more than 64 KiB");
  BioPtr bio = reader(pem);
  KeyPtr key(PEM_read_bio_PUBKEY(bio.get(), nullptr, no_passphrase, nullptr));
  if (!key) return fail(ErrorCode::kInvalid, "not a public key in PEM (" + openssl_error() + ")");
  if (!is_p256(key.get())) return fail(ErrorCode::kInvalid, "the public key is not an EC key on the curve P-256");
  return key;
}

std::string write_public_pem(EVP_PKEY* key) {
  BioPtr bio = writer();
  must(PEM_write_bio_PUBKEY(bio.get(), key) == 1, "PEM_write_bio_PUBKEY");
  return contents(bio.get());
}

std::string ec_thumbprint(std::string_view x, std::string_view y) {
  // RFC 7638, 3.2: the required members only, in lexicographic order, no white space.
  return base::base64url(sha256_raw(fmt::format(R"({{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}})", x, y)));
}

PrivateKey PrivateKey::generate() {
  KeyPtr key(EVP_EC_gen("P-256"));
  must(key != nullptr, "EVP_EC_gen");
  return KeyAccess::wrap(std::move(key));
}

base::Result<PrivateKey> PrivateKey::from_pem(std::string_view pem) {
  if (pem.size() > kMaxPem) return fail(ErrorCode::kTooLarge, "a private key of more than 64 KiB");
  BioPtr bio = reader(pem);
  KeyPtr key(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_passphrase, nullptr));
  if (!key) return fail(ErrorCode::kInvalid, "not an unencrypted private key in PEM (" + openssl_error() + ")");
  if (!is_p256(key.get())) return fail(ErrorCode::kInvalid, "the private key is not an EC key on the curve P-256");
  // That the public half belongs to the private one: a pair that does not match would sign what nobody can verify.
  KeyContextPtr context(EVP_PKEY_CTX_new(key.get(), nullptr));
  must(context != nullptr, "EVP_PKEY_CTX_new");
  if (EVP_PKEY_check(context.get()) != 1)
    return fail(ErrorCode::kInvalid, "the private key is damaged (" + openssl_error() + ")");
  return KeyAccess::wrap(std::move(key));
}

std::string PrivateKey::to_pem() const {
  BioPtr bio = writer();
  must(PEM_write_bio_PKCS8PrivateKey(bio.get(), KeyAccess::pkey(*this), nullptr, nullptr, 0, nullptr, nullptr) == 1,
       "PEM_write_bio_PKCS8PrivateKey");
  return contents(bio.get());
}

std::string PrivateKey::public_pem() const { return derived_->public_pem; }
std::string PrivateKey::key_id() const { return derived_->id; }
bool PrivateKey::has_id(std::string_view id) const { return derived_->id == id; }
std::string PrivateKey::public_jwk() const { return derived_->public_jwk; }

std::string PrivateKey::sign(std::string_view bytes) const {
  DigestContextPtr context(EVP_MD_CTX_new());
  must(context && EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, KeyAccess::pkey(*this)) == 1,
       "EVP_DigestSignInit");
  std::string out(kMaxSignature, '\0');
  std::size_t size = out.size();
  must(EVP_DigestSign(context.get(), bytes_of(out), &size, bytes_of(bytes), bytes.size()) == 1, "EVP_DigestSign");
  out.resize(size);
  return out;
}

bool verify_signature(std::string_view public_pem, std::string_view bytes, std::string_view signature_der) {
  auto key = read_public_pem(public_pem);
  if (!key) return false;
  DigestContextPtr context(EVP_MD_CTX_new());
  must(context && EVP_DigestVerifyInit(context.get(), nullptr, EVP_sha256(), nullptr, key->get()) == 1,
       "EVP_DigestVerifyInit");
  const bool good = EVP_DigestVerify(context.get(), bytes_of(signature_der), signature_der.size(), bytes_of(bytes),
                                     bytes.size()) == 1;
  ERR_clear_error();  // a bad signature leaves entries that a later call would show as its own
  return good;
}

}  // namespace mainstay::crypto
