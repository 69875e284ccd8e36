// Tokens of another issuer: its public keys (a JWK Set, RFC 7517) and the JSON Web Tokens that they signed, over
// OpenSSL. RS256, PS256, ES256 (RFC 7518) and EdDSA with Ed25519 (RFC 8037), nothing else: `none` and HMAC never count,
// and the key says which algorithms it may have been used with (RFC 8725, 3.1). Immutable, shareable between threads.
#pragma once
#include <boost/json.hpp>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace mainstay::crypto {

class IssuerKeys {
 public:
  // Keys that are of no use here (for encryption, of another type, damaged, RSA below 2048 bits) are left out, as RFC
  // 7517, section 5 has it. kInvalid where the text is no JWK Set or has more than 100 keys.
  static base::Result<IssuerKeys> parse(std::string_view jwk_set);
  // The claims of a token that one of the keys signed; their meaning is the caller's to check. kNotFound: none of the
  // keys can have signed it, so a newer set may; kUnauthenticated: it is refused. Errors do not repeat the token.
  base::Result<boost::json::object> verify(std::string_view token) const;
  std::size_t size() const { return keys_.size(); }

 private:
  struct Key {
    std::string id, algorithm;  // `kid` and `alg`, "" where the set does not say
    std::shared_ptr<void> key;  // EVP_PKEY
  };
  std::vector<Key> keys_;
};

}  // namespace mainstay::crypto
