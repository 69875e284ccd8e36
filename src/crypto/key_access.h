// What jwt.cc and certificates.cc may see of a key. Internal to crypto/.
#pragma once
#include <cjose/cjose.h>
#include <openssl/evp.h>

#include "base/result.h"
#include "crypto/keys.h"
#include "crypto/openssl.h"

namespace mainstay::crypto {

struct KeyAccess {
  static EVP_PKEY* pkey(const PrivateKey& key) { return static_cast<EVP_PKEY*>(key.native()); }
  // cjose reads it only, so threads may share it.
  static const cjose_jwk_t* jwk(const PrivateKey& key);
  static PrivateKey wrap(KeyPtr key);  // a P-256 pair
};

bool is_p256(EVP_PKEY* key);
// A P-256 public key (SPKI).
base::Result<KeyPtr> read_public_pem(std::string_view pem);
std::string write_public_pem(EVP_PKEY* key);
// The RFC 7638 thumbprint of an EC key from its base64url coordinates.
std::string ec_thumbprint(std::string_view x, std::string_view y);

}  // namespace mainstay::crypto
