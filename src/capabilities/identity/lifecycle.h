// What follows from users, applications and time: a user's leaving, what expires, an application's secret.
#pragma once
#include <memory>

#include "capabilities/identity/provider.h"

namespace mainstay::identity {

// Controllers: a deleted User leaves its teams and takes its tokens, sign-ins and password along (by a finalizer, so
// that a crash in between forgets none); expired AccessTokens, OAuthGrants and LoginSessions go; an OAuthClient gets
// its secret.
void add_lifecycle(platform::Host& host, const std::shared_ptr<Provider>& provider);

// Admission of OAuthClients: redirect URIs that may be, and a service account that the writer may speak for.
void add_client_admission(platform::Host& host);

}  // namespace mainstay::identity
