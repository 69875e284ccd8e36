#pragma once
#include <memory>

#include "capabilities/identity/tokens.h"
#include "platform/host.h"

namespace mainstay::identity {

// Token requests for users and service accounts, OIDC discovery (OpenID Connect Discovery 1.0) and JWKS (RFC 7517).
void add_routes(platform::Host& host, std::vector<crypto::PrivateKey> keys);

}  // namespace mainstay::identity
