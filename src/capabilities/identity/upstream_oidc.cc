#include "capabilities/identity/upstream_oidc.h"

#include "base/encoding.h"
#include "base/ids.h"
#include "base/log.h"
#include "base/status.h"
#include "base/strings.h"
#include "capabilities/identity/federation.h"
#include "capabilities/identity/resources.h"
#include "capabilities/identity/upstream_http.h"
#include "capabilities/identity/upstream_keys.h"
#include "crypto/digest.h"

namespace mainstay::identity {
namespace {

constexpr std::string_view kCookie = "__Host-mainstay-upstream";
constexpr std::int64_t kSkew = 60;  // seconds that the provider's clock may be off

std::int64_t seconds(base::SystemTime time) {
  return std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
}

struct Routes {
  std::shared_ptr<Provider> provider;
  std::shared_ptr<client::Cache> objects;
  std::shared_ptr<UpstreamKeys> keys;

  std::string callback(const std::string& name) const {
    return provider->issuer() + "/oauth2/upstream/" + name + "/callback";
  }

  client::ObjectPtr object_of(const ContextPtr& context) const {
    const client::ObjectPtr object = objects->get("", context->params.at("name"));
    if (!object || base::get_string(*object, "spec.type") != "oidc")
      throw base::not_found("identityproviders.mainstay.dev", context->params.at("name"));
    return object;
  }

  async::Task<net::Response> begin(ContextPtr context) const {
    const client::ObjectPtr object = object_of(context);
    const std::string name = context->params.at("name");
    const std::string back(context->http->query.get("back"));
    const UpstreamEndpoints at = co_await discover(provider, *object);
    const std::string state = base::random_hex(16), nonce = base::random_hex(16), verifier = base::random_hex(32);
    std::string scope;
    for (const json::value& one : base::get_array(*object, "spec.oidc.scopes"))
      scope += (scope.empty() ? "" : " ") + std::string(one.as_string());
    Form ask_for;
    ask_for.set("response_type", "code");
    ask_for.set("client_id", base::get_string(*object, "spec.oidc.clientID"));
    ask_for.set("redirect_uri", callback(name));
    ask_for.set("scope", scope.empty() ? "openid profile email" : scope);
    ask_for.set("state", state);
    ask_for.set("nonce", nonce);
    ask_for.set("code_challenge", base::base64url(crypto::sha256_raw(verifier)));
    ask_for.set("code_challenge_method", "S256");
    net::Response response = redirect(with_parameters(at.authorization, ask_for));
    const std::string ticket =
        provider->ticket("upstream", {{"name", name},
                                      {"state", state},
                                      {"nonce", nonce},
                                      {"verifier", verifier},
                                      {"back", is_own_page(back) && back.size() < 2000 ? back : "/oauth2/account"}});
    response.headers.add("Set-Cookie",
                         fmt::format("{}={}; Path=/; Max-Age=600; Secure; HttpOnly; SameSite=Lax", kCookie, ticket));
    co_return response;
  }

  async::Task<net::Response> finish(ContextPtr context) const {
    const client::ObjectPtr object = object_of(context);
    const std::string name = context->params.at("name");
    const net::Query& query = context->http->query;
    const auto opened = provider->open_ticket("upstream", cookie(*context->http, kCookie));
    const json::value content = opened ? json::value(*opened) : json::value(json::object());
    // The answer must be to a question that this very browser asked here.
    if (!opened || base::get_string(content, "name") != name ||
        !base::constant_time_equal(base::get_string(content, "state"), query.get("state")))
      throw base::forbidden("this sign-in was not begun in this browser, or took too long: begin again");
    if (query.has("error"))
      throw base::forbidden(fmt::format("{} refused: {}", name, query.get("error").substr(0, 200)));
    const UpstreamEndpoints at = co_await discover(provider, *object);
    if (query.has("iss") && query.get("iss") != at.issuer)
      throw base::forbidden("the answer came from another provider");
    const Stranger who = co_await redeem(*object, at, std::string(query.get("code")), content);
    const std::string user = co_await admit_stranger(provider, *object, who);
    (*context->audit_annotations)["mainstay.dev/sign-in"] = "accepted " + user + " of " + name;
    net::Response response = co_await provider->signed_in(user, {"fed"}, name, base::get_string(content, "back"));
    response.headers.add("Set-Cookie", fmt::format("{}=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax", kCookie));
    co_return response;
  }

  // The code for tokens, the tokens for who it is.
  async::Task<Stranger> redeem(json::value object, UpstreamEndpoints at, std::string code, json::value asked) const {
    const std::string name = base::get_string(object, "metadata.name"),
                      client_id = base::get_string(object, "spec.oidc.clientID");
    const async::Executor executor = provider->host.runtime().executor();
    Form form;
    form.set("grant_type", "authorization_code");
    form.set("code", code);
    form.set("redirect_uri", callback(name));
    form.set("code_verifier", base::get_string(asked, "verifier"));
    net::Headers headers;
    if (const json::value* secret = base::find(object, "spec.oidc.clientSecretRef")) {
      const std::string value = co_await secret_value(provider->client, *secret, "client-secret");
      headers.set("Authorization",
                  "Basic " + base::base64(base::percent_encode(client_id) + ":" + base::percent_encode(value)));
    } else {
      form.set("client_id", client_id);
    }
    const json::value tokens = co_await ask_upstream(executor, name, at.token, at.ca_pem, headers, form.encode());
    const json::object claims = co_await keys->verify(executor, name, at, base::get_string(tokens, "id_token"));
    if (const auto good = check_id_token(claims, at.issuer, client_id, base::get_string(asked, "nonce"),
                                         provider->host.clock().now());
        !good)
      throw base::forbidden(fmt::format("identity provider {}: {}", name, good.error().message));
    json::value all = claims;
    if (!at.userinfo.empty()) {
      net::Headers bearer;
      bearer.set("Authorization", "Bearer " + base::get_string(tokens, "access_token"));
      const json::value info = co_await ask_upstream(executor, name, at.userinfo, at.ca_pem, bearer, "");
      // OpenID Connect Core 5.3.2: of another subject it counts for nothing.
      if (base::get_string(info, "sub") == base::get_string(all, "sub")) {
        for (const auto& [key, value] : info.as_object()) all.as_object().emplace(key, value);
      }
    }
    Stranger who;
    who.provider = name;
    who.subject = base::get_string(all, "sub");
    const auto claim = [&](const std::string& path) {
      const json::value* value = all.as_object().if_contains(path);
      return value != nullptr && value->is_string() ? std::string(value->as_string()) : std::string();
    };
    who.name = claim(base::get_string(object, "spec.oidc.usernameClaim", "preferred_username"));
    if (who.name.empty()) who.name = claim("email");
    who.display_name = claim("name");
    who.email = claim("email");
    const json::value* groups =
        all.as_object().if_contains(base::get_string(object, "spec.oidc.groupsClaim", "groups"));
    if (groups != nullptr && groups->is_array()) {
      for (const json::value& group : groups->as_array()) {
        if (group.is_string() && who.groups.size() < 1000) who.groups.emplace_back(group.as_string());
      }
    }
    co_return who;
  }

  static async::Task<net::Response> page(std::shared_ptr<Routes> self, bool first, ContextPtr context) {
    try {
      if (first) co_return co_await self->begin(context);
      co_return co_await self->finish(context);
    } catch (const OAuthError& e) {
      co_return error_page(e.status, "This did not work", e.description);
    } catch (const base::StatusError& e) {
      base::log::warn("identity", "{}", e.message());
      co_return error_page(e.code(), "This did not work", e.message());
    }
  }
};

}  // namespace

base::Result<> check_id_token(const json::value& claims, const std::string& issuer, const std::string& client_id,
                              const std::string& nonce, base::SystemTime now) {
  const auto bad = [](std::string_view why) {
    return base::fail(base::ErrorCode::kUnauthenticated, fmt::format("its id_token {}", why));
  };
  if (!claims.is_object() || base::get_string(claims, "iss") != issuer) return bad("is of another issuer");
  const json::value* aud = claims.get_object().if_contains("aud");
  const bool for_us =
      aud != nullptr && ((aud->is_string() && aud->as_string() == client_id) ||
                         (aud->is_array() && aud->as_array().size() == 1 && aud->as_array()[0].is_string() &&
                          aud->as_array()[0].as_string() == client_id));
  if (!for_us) return bad("is for another client (aud)");
  if (claims.get_object().contains("azp") && base::get_string(claims, "azp") != client_id)
    return bad("was made out to another client (azp)");
  const std::int64_t at = seconds(now);
  // A missing one reads as 1970.
  if (base::get_int(claims, "exp") + kSkew <= at) return bad("has expired");
  if (base::get_int(claims, "iat") <= 0) return bad("does not say when it was made (iat)");
  if (base::get_int(claims, "iat") - kSkew > at || base::get_int(claims, "nbf") - kSkew > at)
    return bad("is from the future: check the clocks");
  if (nonce.empty() || !base::constant_time_equal(base::get_string(claims, "nonce"), nonce))
    return bad("answers another question (nonce)");
  const std::string subject = base::get_string(claims, "sub");
  if (subject.empty() || subject.size() > 255) return bad("names nobody (sub)");
  return {};
}

async::Task<std::string> secret_value(client::ApiClient client, json::value reference, std::string default_key) {
  const std::string ns = base::get_string(reference, "namespace"), name = base::get_string(reference, "name"),
                    key = base::get_string(reference, "key", default_key);
  const json::value secret = co_await client.get(resources::kSecrets, ns, name);
  const json::value* data = base::find(secret, {"data", key});
  auto value = base::base64_decode(data != nullptr && data->is_string() ? std::string_view(data->as_string()) : "");
  if (!value || value->empty()) throw base::unavailable(fmt::format("the Secret {}/{} has no key {}", ns, name, key));
  co_return *std::move(value);
}

async::Task<std::string> ca_of(client::ApiClient client, json::value reference) {
  const std::string ns = base::get_string(reference, "namespace"), name = base::get_string(reference, "name");
  const json::value map = co_await client.get(resources::kConfigMaps, ns, name);
  const json::value* pem = base::find(map, {"data", "ca.crt"});
  if (pem == nullptr || !pem->is_string())
    throw base::unavailable(fmt::format("the ConfigMap {}/{} has no key ca.crt", ns, name));
  co_return std::string(pem->as_string());
}

async::Task<UpstreamEndpoints> discover(std::shared_ptr<Provider> provider, json::value object) {
  const std::string name = base::get_string(object, "metadata.name");
  UpstreamEndpoints out;
  out.issuer = base::get_string(object, "spec.oidc.issuer");
  if (const json::value* ca = base::find(object, "spec.oidc.caRef")) out.ca_pem = co_await ca_of(provider->client, *ca);
  std::string url = out.issuer;
  while (url.ends_with('/')) url.pop_back();
  const json::value document = co_await ask_upstream(provider->host.runtime().executor(), name,
                                                     url + "/.well-known/openid-configuration", out.ca_pem, {}, "");
  // OpenID Connect Discovery 4.3.
  if (base::get_string(document, "issuer") != out.issuer)
    throw upstream_trouble(name, fmt::format("its discovery document is of the issuer {}",
                                             base::get_string(document, "issuer").substr(0, 200)));
  out.authorization = base::get_string(document, "authorization_endpoint");
  out.token = base::get_string(document, "token_endpoint");
  out.userinfo = base::get_string(document, "userinfo_endpoint");
  out.keys = base::get_string(document, "jwks_uri");
  if (!check_redirect_uri(out.authorization) || !check_redirect_uri(out.token) || !check_redirect_uri(out.keys) ||
      (!out.userinfo.empty() && !check_redirect_uri(out.userinfo)))
    throw upstream_trouble(name, "its endpoints must be https, or http on a loopback address");
  co_return out;
}

void add_upstream_routes(platform::Host& host, const std::shared_ptr<Provider>& provider,
                         const std::shared_ptr<client::Cache>& objects) {
  auto routes = std::make_shared<Routes>(Routes{provider, objects, std::make_shared<UpstreamKeys>(host.clock())});
  const api::Public why{"the first step of signing in"};
  for (const bool first : {true, false}) {
    api::Route route{"GET",
                     first ? "/oauth2/upstream/{name}" : "/oauth2/upstream/{name}/callback",
                     why,
                     first ? "Sign in at another provider" : "Come back from another provider",
                     [routes, first](ContextPtr c) { return Routes::page(routes, first, std::move(c)); },
                     nullptr};
    route.own_credentials = true;
    host.api().add_route(std::move(route));
  }
}

}  // namespace mainstay::identity
