// JSON Web Tokens (RFC 7519), ES256 only: `alg` is never taken from the token. Over cjose.
#pragma once
#include <boost/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "crypto/keys.h"

namespace mainstay::crypto {

// Compact serialisation; adds {"alg":"ES256","kid":…,"typ":typ}.
std::string sign_jwt(const PrivateKey& key, const boost::json::object& claims, std::string_view typ = "JWT");

struct JwtExpectations {
  std::string issuer;                  // must equal `iss`
  std::vector<std::string> audiences;  // one must be in `aud`
  std::chrono::seconds leeway{10};
};
// Verifies signature (by kid among `keys`), iss, aud, exp, nbf. Errors (kUnauthenticated) do not repeat the token.
base::Result<boost::json::object> verify_jwt(std::string_view token, const std::vector<PrivateKey>& keys,
                                             const JwtExpectations& expect, base::SystemTime now);
std::string jwks(const std::vector<PrivateKey>& keys);

}  // namespace mainstay::crypto
