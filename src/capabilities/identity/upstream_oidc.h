// Signing in at another OpenID provider (OpenID Connect Core 1.0, 3.1): we are its client.
#pragma once
#include <memory>
#include <string>

#include "base/json.h"
#include "capabilities/identity/provider.h"

namespace mainstay::identity {

// What its discovery document says. Throws StatusError 503 with the reason.
struct UpstreamEndpoints {
  std::string issuer, authorization, token, userinfo, keys, ca_pem;
};
async::Task<UpstreamEndpoints> discover(std::shared_ptr<Provider> provider, json::value object);

void add_upstream_routes(platform::Host& host, const std::shared_ptr<Provider>& provider,
                         const std::shared_ptr<client::Cache>& objects);

// A value of a Secret that {namespace, name, key} names, and the ca.crt of a ConfigMap. Throw StatusError where
// missing.
async::Task<std::string> secret_value(client::ApiClient client, json::value reference, std::string default_key);
async::Task<std::string> ca_of(client::ApiClient client, json::value reference);

// Checks the claims of an id_token, whose signature was verified, against what was asked for (OpenID Connect Core
// 3.1.3.7). Another audience beside this client is refused: none is trusted.
base::Result<> check_id_token(const json::value& claims, const std::string& issuer, const std::string& client_id,
                              const std::string& nonce, base::SystemTime now);

}  // namespace mainstay::identity
