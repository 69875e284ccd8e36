// Internal to crypto/: a JSON Web Signature (RFC 7515) in compact form, ES256 only.
#pragma once
#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "crypto/keys.h"

namespace mainstay::crypto {

// Gives the payload. `choose` maps the header's `kid` ("" where absent) to a key, or nullptr. kUnauthenticated
// otherwise.
base::Result<std::string> verify_jws(std::string_view token,
                                     const std::function<const PrivateKey*(std::string_view kid)>& choose);

}  // namespace mainstay::crypto
