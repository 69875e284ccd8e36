// IdentityProvider objects at work: who comes from elsewhere becomes a User here, with the roles that its groups map
// to.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "base/json.h"
#include "capabilities/identity/provider.h"
#include "capabilities/identity/upstreams.h"

namespace mainstay::identity {

// Somebody as another place knows them. `groups` are its own names.
struct Stranger {
  std::string provider, subject, name, display_name, email;
  std::vector<std::string> groups;
};
// "Ann.Smith@example.com" -> "ann-smith": a name a User can have; "" where nothing is left.
std::string user_name_from(std::string_view name);
// RBAC groups of an IdentityProvider's mappings: "team:shop", "team:shop:developer".
std::vector<std::string> mapped_groups(const json::value& provider, const std::vector<std::string>& groups);

// The IdentityProvider whose somebody the User is; "" where it is nobody's.
std::string provider_of(const json::value& user);
// Makes the User, or brings it up to date. Throws StatusError 403 where a User of that name is somebody else's.
async::Task<std::string> admit_stranger(std::shared_ptr<Provider> provider, json::value object, Stranger who);

// Routes below /oauth2/upstream/, the controller that keeps IdentityProviders' Ready condition, and sign-in by
// password.
void add_federation(platform::Host& host, const std::shared_ptr<Provider>& provider);

}  // namespace mainstay::identity
