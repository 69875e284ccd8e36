#pragma once
#include <memory>

#include "capabilities/identity/tokens.h"
#include "platform/host.h"

namespace mainstay::identity {

struct Provider;

// Token requests for users and service accounts, passwords; the OpenID provider's endpoints and pages.
void add_routes(platform::Host& host, std::shared_ptr<Provider> provider);
void add_token_routes(platform::Host& host, const std::shared_ptr<Provider>& provider);

}  // namespace mainstay::identity
