// /v1/sys and /v1/auth of the Vault API: health, mounts, logins, tokens, and the change of the master key.
#pragma once
#include <memory>

#include "capabilities/secrets/kv_store.h"
#include "capabilities/secrets/login_tokens.h"

namespace mainstay::secrets {

void add_sys_routes(platform::Host& host, std::shared_ptr<KvStore> store);
void add_auth_routes(platform::Host& host, std::shared_ptr<LoginTokens> tokens);
// Where the token stands in requests of this API. Logins and health need none, and a stale one must not stop them.
std::optional<std::string> vault_token(const net::Request& request);

}  // namespace mainstay::secrets
