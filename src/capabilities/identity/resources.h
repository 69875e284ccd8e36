// The types that only this capability speaks of.
#pragma once
#include "client/client.h"

namespace mainstay::identity {
namespace resources {
using namespace client::resources;
inline const client::Resource kOAuthClients{"mainstay.dev", "v1", "oauthclients", true, "OAuthClient"};
inline const client::Resource kOAuthGrants{"mainstay.dev", "v1", "oauthgrants", false, "OAuthGrant"};
inline const client::Resource kLoginSessions{"mainstay.dev", "v1", "loginsessions", false, "LoginSession"};
inline const client::Resource kUserCredentials{"mainstay.dev", "v1", "usercredentials", false, "UserCredential"};
inline const client::Resource kIdentityProviders{"mainstay.dev", "v1", "identityproviders", false, "IdentityProvider"};
// Of the secrets capability: what people and pods logged in there with.
inline const client::Resource kLoginTokens{"mainstay.dev", "v1", "logintokens", false, "LoginToken"};
}  // namespace resources
}  // namespace mainstay::identity
