// The token endpoint and what tokens say (RFC 6749 5, RFC 8628, RFC 9068), userinfo and revocation (RFC 7009).
#include "base/ids.h"
#include "base/status.h"
#include "base/strings.h"
#include "capabilities/identity/provider.h"
#include "capabilities/identity/resources.h"
#include "capabilities/identity/tokens.h"
#include "crypto/jwt.h"

namespace mainstay::identity {
namespace {

std::int64_t seconds(base::SystemTime time) {
  return std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
}

net::Response secret_json(const json::value& body) {
  net::Response response = net::Response::json(200, body);
  response.headers.set("Cache-Control", "no-store");
  return response;
}

}  // namespace

json::object Provider::user_claims(const json::value& user, std::string_view scope, std::string_view client_id) const {
  const std::string name = base::get_string(user, "metadata.name");
  json::object claims = {{"sub", base::get_string(user, "metadata.uid")}, {"preferred_username", name}};
  if (has_scope(scope, "profile")) claims["name"] = base::get_string(user, "spec.displayName", name);
  if (const std::string email = base::get_string(user, "spec.email"); has_scope(scope, "email") && !email.empty())
    claims["email"] = email;
  if (has_scope(scope, "groups")) {
    // A team's application is told of that team: other teams are none of its business.
    const std::string_view team = namespace_of_client(client_id);
    json::array groups;
    for (const std::string& group : groups_of_user(user, teams->list())) {
      if (team.empty() || group == fmt::format("team:{}", team) || group.starts_with(fmt::format("team:{}:", team)))
        groups.emplace_back(group);
    }
    claims["groups"] = std::move(groups);
  }
  return claims;
}

json::object Provider::token_answer(const json::value& grant, const OAuthClient& who) const {
  const std::string user_name = base::get_string(grant, "spec.user"), scope = base::get_string(grant, "spec.scope");
  const client::ObjectPtr user = users->get("", user_name);
  const base::SystemTime now = host.clock().now();
  // Only the platform's own clients speak to its API in the user's name; others may ask who the user is.
  json::object access = {{"iss", issuer()},
                         {"sub", base::get_string(*user, "metadata.uid")},
                         {"aud", who.own ? issuer() : issuer() + "/oauth2/userinfo"},
                         {"client_id", who.id},
                         {"scope", scope},
                         {"grant", base::get_string(grant, "metadata.name")},
                         {"iat", seconds(now)},
                         {"exp", seconds(now + kAccessTokenLife)},
                         {"jti", base::uuid4()}};
  json::object answer = {{"access_token", crypto::sign_jwt(keys->signing(), access, "at+jwt")},
                         {"token_type", "Bearer"},
                         {"expires_in", kAccessTokenLife.count()},
                         {"scope", scope}};
  if (who.may("refresh_token")) answer["refresh_token"] = grants.refresh_token(grant);
  if (has_scope(scope, "openid")) {
    json::object id = user_claims(*user, scope, who.id);
    id["iss"] = issuer();
    id["aud"] = who.id;
    id["iat"] = seconds(now);
    id["exp"] = seconds(now + std::chrono::hours(1));
    id["auth_time"] = base::get_int(grant, "spec.authTime");
    id["sid"] = base::get_string(grant, "spec.session");
    if (const json::value* amr = base::find(grant, "spec.amr")) id["amr"] = *amr;
    if (const std::string nonce = base::get_string(grant, "spec.nonce"); !nonce.empty()) id["nonce"] = nonce;
    answer["id_token"] = crypto::sign_jwt(keys->signing(), id);
  }
  return answer;
}

// A grant outlives neither its user nor its client. Throws OAuthError invalid_grant.
void Provider::check_alive(const json::value& grant) const {
  const client::ObjectPtr user = users->get("", base::get_string(grant, "spec.user"));
  if (!user || !is_active(*user) || base::get_string(*user, "metadata.uid") != base::get_string(grant, "spec.userUID"))
    throw OAuthError("invalid_grant", "the user is disabled or gone");
  const auto owner = clients.find(base::get_string(grant, "spec.client"));
  if (!owner || owner->uid != base::get_string(grant, "spec.clientUID"))
    throw OAuthError("invalid_grant", "the application was deleted and made anew: sign in again");
}

async::Task<net::Response> Provider::code_grant(OAuthClient who, Form form) {
  const json::value grant =
      co_await grants.redeem_code(form.get("code"), who.id, form.get("redirect_uri"), form.get("code_verifier"));
  check_alive(grant);
  co_return secret_json(token_answer(grant, who));
}

async::Task<net::Response> Provider::refresh_grant(OAuthClient who, Form form) {
  const json::value grant = co_await grants.rotate(form.get("refresh_token"), who.id);
  check_alive(grant);
  co_return secret_json(token_answer(grant, who));
}

async::Task<net::Response> Provider::device_grant(OAuthClient who, Form form) {
  const json::value grant = co_await grants.redeem_device(form.get("device_code"), who.id);
  check_alive(grant);
  co_return secret_json(token_answer(grant, who));
}

// RFC 6749 4.4: the application for itself, as the service account that its object names.
async::Task<net::Response> Provider::client_credentials(OAuthClient who, Form) {
  if (who.is_public) throw OAuthError("unauthorized_client", "a public client has no credentials");
  if (who.service_account.empty())
    throw OAuthError("unauthorized_client", "the OAuthClient names no service account (spec.serviceAccountName)");
  const auto account = co_await client.find(resources::kServiceAccounts, who.ns, who.service_account);
  if (!account)
    throw OAuthError("unauthorized_client", fmt::format("the service account {} is gone", who.service_account));
  ServiceAccountToken token;
  token.ns = who.ns;
  token.account = who.service_account;
  token.account_uid = base::get_string(*account, "metadata.uid");
  token.audiences = {issuer()};
  token.lifetime = kAccessTokenLife;
  json::object claims = service_account_claims(token, issuer(), host.clock().now());
  claims["client_id"] = who.id;
  claims["client_uid"] = who.uid;
  co_return secret_json({{"access_token", crypto::sign_jwt(keys->signing(), claims, "at+jwt")},
                         {"token_type", "Bearer"},
                         {"expires_in", kAccessTokenLife.count()}});
}

// Who asks, at whichever endpoint: guesses of a secret are slowed down.
async::Task<OAuthClient> Provider::authenticated_client(ContextPtr context, Form form) {
  const std::string peer = "token " + peer_host(*context->http);
  if (const auto wait = by_peer.wait(peer); wait.count() > 0)
    throw OAuthError("slow_down", fmt::format("too many failures: try again in {} s", wait.count()), 429);
  std::optional<OAuthError> failed;
  OAuthClient who;
  try {
    who = co_await clients.authenticate(context->http, form);
  } catch (const OAuthError& e) {
    failed = e;
  }
  if (failed) {
    by_peer.failed(peer);
    throw *failed;
  }
  co_return who;
}

async::Task<net::Response> Provider::token(ContextPtr context) {
  const Form form = co_await read_form(context);
  OAuthClient who = co_await authenticated_client(context, form);
  const std::string grant = form.get("grant_type");
  if (grant.empty()) throw OAuthError("invalid_request", "grant_type is missing");
  struct Kind {
    std::string_view name;
    async::Task<net::Response> (Provider::*serve)(OAuthClient, Form);
  };
  for (const Kind& kind :
       {Kind{"authorization_code", &Provider::code_grant}, Kind{"refresh_token", &Provider::refresh_grant},
        Kind{kDeviceGrant, &Provider::device_grant}, Kind{"client_credentials", &Provider::client_credentials}}) {
    if (kind.name != grant) continue;
    if (!who.may(grant)) throw OAuthError("unauthorized_client", "this client may not use this grant_type");
    co_return co_await (this->*kind.serve)(std::move(who), form);
  }
  throw OAuthError("unsupported_grant_type", "grant_type: not one that is known here");
}

async::Task<net::Response> Provider::userinfo(ContextPtr context) {
  const std::string_view header = context->http->headers.get("Authorization");
  const bool bearer = header.size() > 7 && base::iequals(header.substr(0, 7), "Bearer ");
  const auto bad = [] { return OAuthError("invalid_token", "the access token is missing, wrong or has ended", 401); };
  if (!bearer) throw bad();
  const auto claims = crypto::verify_jwt(base::trim(header.substr(7)), keys->all(),
                                         {issuer(), {issuer(), issuer() + "/oauth2/userinfo"}}, host.clock().now());
  if (!claims) throw bad();
  const json::value all = *claims;
  const client::ObjectPtr grant = grants.cache()->get("", base::get_string(all, "grant"));
  if (!grant) throw bad();
  const client::ObjectPtr user = users->get("", base::get_string(*grant, "spec.user"));
  if (!user || !is_active(*user) || base::get_string(*user, "metadata.uid") != base::get_string(all, "sub"))
    throw bad();
  if (!has_scope(base::get_string(all, "scope"), "openid"))
    throw OAuthError("insufficient_scope", "the token was not asked for with scope openid", 403);
  co_return secret_json(user_claims(*user, base::get_string(all, "scope"), base::get_string(all, "client_id")));
}

// RFC 7009: 200 whether the token was known or not, but never for another client's.
async::Task<net::Response> Provider::revoke(ContextPtr context) {
  const Form form = co_await read_form(context);
  const OAuthClient who = co_await authenticated_client(context, form);
  if (!form.has("token")) throw OAuthError("invalid_request", "token is missing");
  std::string name = grants.grant_of(form.get("token"));
  if (name.empty()) {
    const auto claims = crypto::verify_jwt(form.get("token"), keys->all(),
                                           {issuer(), {issuer(), issuer() + "/oauth2/userinfo"}}, host.clock().now());
    if (claims) name = base::get_string(json::value(*claims), "grant");
  }
  const client::ObjectPtr grant = name.empty() ? nullptr : grants.cache()->get("", name);
  if (grant && base::get_string(*grant, "spec.client") == who.id) co_await grants.end(name);
  net::Response response = net::Response::empty(200);
  response.headers.set("Cache-Control", "no-store");
  co_return response;
}

}  // namespace mainstay::identity
