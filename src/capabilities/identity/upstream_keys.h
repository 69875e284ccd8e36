// The keys of upstream providers, kept between sign-ins, and their id_tokens verified with them.
#pragma once
#include <map>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/json.h"
#include "capabilities/identity/upstream_oidc.h"
#include "crypto/issuer_keys.h"

namespace mainstay::identity {

// On the loop. A set is kept for ten minutes: so long a key that a provider has withdrawn may still count. One that
// lacks a token's key is fetched anew (OpenID Connect Core 10.1.1), at most five times a minute for a provider.
class UpstreamKeys {
 public:
  explicit UpstreamKeys(const base::Clock& clock) : clock_(clock) {}
  // The claims of a token that one of the provider's keys signed. Throws StatusError 403 where none did, 503 where the
  // keys cannot be had.
  async::Task<json::object> verify(async::Executor executor, std::string name, UpstreamEndpoints at, std::string token);

 private:
  struct Kept {
    std::string url;
    crypto::IssuerKeys keys;
    base::SteadyTime fetched, minute;
    int fetches = 0;  // within `minute`
  };
  async::Task<std::shared_ptr<Kept>> keys_of(async::Executor executor, std::string name, UpstreamEndpoints at,
                                             bool anew);
  const base::Clock& clock_;
  std::map<std::string, std::shared_ptr<Kept>> kept_;  // by the provider's name
};

}  // namespace mainstay::identity
