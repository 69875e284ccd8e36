#include "capabilities/identity/routes.h"

#include "base/ids.h"
#include "base/status.h"
#include "capabilities/identity/federation.h"
#include "capabilities/identity/provider.h"
#include "capabilities/identity/resources.h"
#include "crypto/jwt.h"

namespace mainstay::identity {
namespace {

constexpr std::int64_t kLongestSeconds = 366 * 24 * 3600;

// Bounds an asked-for lifetime; throws 422 naming the field.
std::chrono::seconds lifetime(const json::value& body, std::int64_t fallback, std::string_view kind) {
  const std::int64_t asked = base::get_int(body, "spec.expirationSeconds", fallback);
  if (asked < 60 || asked > kLongestSeconds)
    throw base::invalid(kind, "",
                        {{"spec.expirationSeconds", "FieldValueInvalid",
                          fmt::format("Invalid value: {}: must be from 60 to {}", asked, kLongestSeconds)}});
  return std::chrono::seconds(asked);
}

async::Task<json::value> read_body(ContextPtr context) {
  const std::string text = co_await context->http->body->read_all(64 * 1024);
  auto body = base::parse_json(text.empty() ? "{}" : text);
  if (!body) throw base::bad_request("the request body is not JSON: " + body.error().message);
  co_return *std::move(body);
}

struct Issuer {
  platform::Host& host;
  client::ApiClient client;
  std::shared_ptr<Provider> provider;

  async::Task<net::Response> user_token(ContextPtr context) {
    const std::string user = context->params.at("name");
    // Everybody may make tokens for themselves; for others it takes a right. A token must not outlive its maker's wish:
    // service accounts have their own kind.
    if (user != context->user.name) {
      const api::Attributes what{"create", "mainstay.dev", "users", "token", "", user, ""};
      if (!host.api().authorizer().authorize(context->user, what).allowed)
        throw base::forbidden(fmt::format("users \"{}\" is forbidden: {} may make access tokens only for themselves",
                                          user, context->user.name));
    }
    const json::value body = co_await read_body(context);
    const auto valid = lifetime(body, 30 * 24 * 3600, "TokenRequest");
    if (!co_await client.find(resources::kUsers, "", user)) throw base::not_found("users.mainstay.dev", user);
    const PersonalToken token = make_personal_token();
    const std::string expires = base::rfc3339(host.clock().now() + valid);
    const json::value object = {{"apiVersion", "mainstay.dev/v1"},
                                {"kind", "AccessToken"},
                                {"metadata", {{"name", token.id}}},
                                {"spec",
                                 {{"user", user},
                                  {"hash", token.hash},
                                  {"description", base::get_string(body, "spec.description")},
                                  {"expiresAt", expires}}}};
    const json::value kept = co_await client.create(resources::kAccessTokens, "", object);
    // The answer may be used at once: wait until the verifier has seen it.
    co_await host.caches().of(resources::kAccessTokens)->caught_up(base::get_string(kept, "metadata.resourceVersion"));
    const json::value answer = {{"apiVersion", "mainstay.dev/v1"},
                                {"kind", "TokenRequest"},
                                {"metadata", {{"name", token.id}}},
                                {"status", {{"token", token.text}, {"expirationTimestamp", expires}}}};
    co_return net::Response::json(201, answer);
  }

  async::Task<net::Response> service_account_token(ContextPtr context) {
    ServiceAccountToken token;
    token.ns = context->params.at("namespace");
    token.account = context->params.at("name");
    const json::value body = co_await read_body(context);
    token.lifetime = lifetime(body, 3600, "TokenRequest");
    const json::value account = co_await client.get(resources::kServiceAccounts, token.ns, token.account);
    token.account_uid = base::get_string(account, "metadata.uid");
    for (const json::value& audience : base::get_array(body, "spec.audiences")) {
      if (audience.is_string()) token.audiences.emplace_back(audience.as_string());
    }
    if (token.audiences.empty()) token.audiences = {host.config().server_url()};
    if (const std::string pod_name = base::get_string(body, "spec.boundObjectRef.name"); !pod_name.empty()) {
      if (base::get_string(body, "spec.boundObjectRef.kind") != "Pod")
        throw base::bad_request("spec.boundObjectRef.kind: only Pod is supported");
      const json::value pod = co_await client.get(resources::kPods, token.ns, pod_name);
      if (base::get_string(pod, "spec.serviceAccountName", "default") != token.account)
        throw base::bad_request(fmt::format("the pod {} does not run as service account {}", pod_name, token.account));
      token.pod = pod_name;
      token.pod_uid = base::get_string(pod, "metadata.uid");
      // Only the platform's pipelines may name a run: the label counts where the run owns the pod.
      const std::string run = base::label(pod, "mainstay.dev/workflow-run");
      for (const json::value& owner : base::get_array(pod, "metadata.ownerReferences")) {
        if (base::get_string(owner, "kind") == "WorkflowRun" && base::get_string(owner, "name") == run &&
            base::get_bool(owner, "controller")) {
          // Such a token reports what the run built, which provenance attests.
          if (!context->user.in_group(api::kMastersGroup))
            throw base::forbidden(fmt::format(
                "the pod {} is of workflow run {}: its tokens are made by the platform alone", pod_name, run));
          token.workflow_run = token.ns + "/" + run;
        }
      }
    }
    const base::SystemTime now = host.clock().now();
    json::value answer = {{"apiVersion", "authentication.k8s.io/v1"},
                          {"kind", "TokenRequest"},
                          {"metadata", {{"name", token.account}, {"namespace", token.ns}}},
                          {"spec", {{"expirationSeconds", token.lifetime.count()}}},
                          {"status",
                           {{"token", crypto::sign_jwt(provider->keys->signing(),
                                                       service_account_claims(token, host.config().server_url(), now))},
                            {"expirationTimestamp", base::rfc3339(now + token.lifetime)}}}};
    co_return net::Response::json(201, answer);
  }

  async::Task<net::Response> remove_totp(ContextPtr context) {
    const std::string user = context->params.at("name");
    if (!co_await provider->credentials.find(user)) throw base::not_found("usercredentials.mainstay.dev", user);
    co_await provider->credentials.remove_totp(user);
    co_return net::Response::json(200, {{"apiVersion", "v1"}, {"kind", "Status"}, {"status", "Success"}});
  }

  // Sets a password. For oneself it takes the present one, where there is one; for others the right to.
  async::Task<net::Response> password(ContextPtr context) {
    const std::string user = context->params.at("name");
    const api::Attributes what{"update", "mainstay.dev", "users", "password", "", user, ""};
    const bool may = host.api().authorizer().authorize(context->user, what).allowed;
    if (!may && user != context->user.name)
      throw base::forbidden(
          fmt::format("users \"{}\" is forbidden: {} may set only their own password", user, context->user.name));
    const json::value body = co_await read_body(context);
    const auto object = co_await client.find(resources::kUsers, "", user);
    if (!object) throw base::not_found("users.mainstay.dev", user);
    const auto known = co_await provider->credentials.find(user);
    const bool has_one = known && !base::get_string(*known, "spec.passwordHash").empty();
    // It would outlive the account there: whoever is shut out by their directory could still come in.
    if (const std::string from = provider_of(*object); !may && !has_one && !from.empty())
      throw base::forbidden(
          fmt::format("{} signs in by {}, and has no password here: an administrator may set one", user, from));
    if (!may && has_one) {
      const std::string key = user + " " + peer_host(*context->http);
      if (const auto wait = provider->by_user_and_peer.wait(key); wait.count() > 0)
        throw base::too_many_requests("too many failed attempts", static_cast<int>(wait.count()));
      FailureLimiter::Attempt attempt(provider->by_user_and_peer, key);
      if (!co_await provider->credentials.password_fits(known, base::get_string(body, "spec.currentPassword"))) {
        attempt.failed();
        throw base::forbidden("spec.currentPassword: it is not the present password");
      }
    }
    co_await provider->credentials.set_password(user, base::get_string(body, "spec.password"),
                                                base::get_bool(body, "spec.temporary"));
    // Whoever knew the old one is out: browsers and applications sign in again. Access tokens are ended by themselves.
    co_await provider->sign_out_everywhere(user);
    if (user == "admin") {
      std::error_code ignored;
      std::filesystem::remove(host.config().dir("admin.password"), ignored);
    }
    co_return net::Response::json(201, {{"apiVersion", "mainstay.dev/v1"},
                                        {"kind", "PasswordRequest"},
                                        {"metadata", {{"name", user}}},
                                        {"status", {{"temporary", base::get_bool(body, "spec.temporary")}}}});
  }
};

using Step = async::Task<net::Response> (Provider::*)(ContextPtr);

// Errors of an application's endpoint, as RFC 6749 5.2 has them.
async::Task<net::Response> for_application(std::shared_ptr<Provider> provider, Step step, ContextPtr context) {
  net::Response response;
  try {
    co_return co_await ((*provider).*step)(context);
  } catch (const OAuthError& e) {
    response = net::Response::json(e.status, {{"error", e.error}, {"error_description", e.description}});
    if (e.status == 401)
      response.headers.set("WWW-Authenticate", e.error == "invalid_client" ? "Basic realm=\"mainstay\""
                                                                           : "Bearer error=\"" + e.error + "\"");
  }
  response.headers.set("Cache-Control", "no-store");
  co_return response;
}

// Errors of a page, as a page.
async::Task<net::Response> for_person(std::shared_ptr<Provider> provider, Step step, ContextPtr context) {
  try {
    co_return co_await ((*provider).*step)(context);
  } catch (const OAuthError& e) {
    co_return error_page(e.status, "This did not work", e.description);
  } catch (const base::StatusError& e) {
    co_return error_page(e.code(), "This did not work", e.message());
  }
}

struct Endpoint {
  const char *method, *path, *summary;
  Step step;
};

constexpr Endpoint kOfApplications[] = {
    {"GET", "/.well-known/openid-configuration", "OpenID Connect discovery", &Provider::discovery},
    {"GET", "/.well-known/oauth-authorization-server", "OAuth metadata (RFC 8414)", &Provider::discovery},
    {"GET", "/oauth2/jwks", "The keys that verify the platform's tokens", &Provider::key_set},
    {"GET", "/openid/v1/jwks", "The keys that verify the platform's tokens", &Provider::key_set},
    {"POST", "/oauth2/token", "Exchange a code, refresh token, device code or client's secret for tokens",
     &Provider::token},
    {"POST", "/oauth2/device_authorization", "Begin the sign-in of a device", &Provider::device_authorization},
    {"GET", "/oauth2/userinfo", "Claims about the user of an access token", &Provider::userinfo},
    {"POST", "/oauth2/userinfo", "Claims about the user of an access token", &Provider::userinfo},
    {"POST", "/oauth2/revoke", "Revoke a token", &Provider::revoke},
};
constexpr Endpoint kOfPeople[] = {
    {"GET", "/oauth2/authorize", "Ask a user to let an application in", &Provider::authorize},
    {"POST", "/oauth2/authorize", "Ask a user to let an application in", &Provider::authorize},
    {"POST", "/oauth2/consent", "The user's answer to an application", &Provider::consent},
    {"POST", "/oauth2/login", "Sign in with a password", &Provider::login},
    {"POST", "/oauth2/login/code", "Sign in: the second factor", &Provider::login_code},
    {"POST", "/oauth2/login/password", "Sign in: a new password for a temporary one", &Provider::login_password},
    {"GET", "/oauth2/device", "The page where a device's code is typed", &Provider::device_page},
    {"POST", "/oauth2/device", "The user's answer to a device", &Provider::device_answer},
    {"GET", "/oauth2/account", "A user's own page: password, second factor, browsers, applications",
     &Provider::account},
    {"POST", "/oauth2/account", "A change on a user's own page", &Provider::account_change},
    {"GET", "/oauth2/logout", "Sign out", &Provider::logout},
    {"POST", "/oauth2/logout", "Sign out", &Provider::logout},
};

void add_provider_routes(platform::Host& host, const std::shared_ptr<Provider>& provider) {
  const api::Public why{"the first step of signing in: the handler judges clients' secrets, cookies and tokens itself"};
  for (const Endpoint& e : kOfApplications) {
    api::Route route{e.method,
                     e.path,
                     why,
                     e.summary,
                     [provider, step = e.step](ContextPtr c) { return for_application(provider, step, std::move(c)); },
                     nullptr};
    route.own_credentials = true;
    route.reads_only = e.step == &Provider::userinfo;
    host.api().add_route(std::move(route));
  }
  for (const Endpoint& e : kOfPeople) {
    api::Route route{e.method,
                     e.path,
                     why,
                     e.summary,
                     [provider, step = e.step](ContextPtr c) { return for_person(provider, step, std::move(c)); },
                     nullptr};
    route.own_credentials = true;
    host.api().add_route(std::move(route));
  }
  host.api().add_route({"POST", "/oauth2/keys", api::Require([](const api::RequestContext& c) {
                          return api::Attributes{"create", "mainstay.dev", "signingkeys", "", "", "", ""};
                        }),
                        "Sign with a new key from now on",
                        [provider](ContextPtr c) { return provider->rotate_keys(std::move(c)); }, nullptr});
}

}  // namespace

void add_routes(platform::Host& host, std::shared_ptr<Provider> provider) {
  auto issuer = std::make_shared<Issuer>(Issuer{host, host.client("identity"), provider});
  host.api().add_route(
      {"POST", "/apis/mainstay.dev/v1/users/{name}/token",
       api::Authenticated{"users make tokens for themselves; for others the handler asks for create users/token"},
       "Make a personal access token", [issuer](ContextPtr c) { return issuer->user_token(std::move(c)); }, nullptr});
  host.api().add_route(
      {"POST", "/apis/mainstay.dev/v1/users/{name}/password",
       api::Authenticated{
           "users set their own, knowing the old one; for others the handler asks for update users/password"},
       "Set a password", [issuer](ContextPtr c) { return issuer->password(std::move(c)); }, nullptr});
  host.api().add_route(
      {"DELETE", "/apis/mainstay.dev/v1/users/{name}/totp", api::Require([](const api::RequestContext& c) {
         return api::Attributes{"update", "mainstay.dev", "users", "password", "", c.params.at("name"), ""};
       }),
       "Turn a user's second factor off, where device and recovery codes are lost",
       [issuer](ContextPtr c) { return issuer->remove_totp(std::move(c)); }, nullptr});
  host.api().add_subresource({"", "serviceaccounts", "token", "POST", "create", "Make a token for a service account",
                              [issuer](ContextPtr c) { return issuer->service_account_token(std::move(c)); }});
  add_token_routes(host, provider);
  add_provider_routes(host, provider);
}

}  // namespace mainstay::identity
