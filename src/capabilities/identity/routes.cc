#include "capabilities/identity/routes.h"

#include "base/ids.h"
#include "base/status.h"
#include "crypto/jwt.h"

namespace mainstay::identity {
namespace {
namespace resources = client::resources;
using ContextPtr = std::shared_ptr<api::RequestContext>;

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
  std::vector<crypto::PrivateKey> keys;

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
            base::get_bool(owner, "controller"))
          token.workflow_run = token.ns + "/" + run;
      }
    }
    const base::SystemTime now = host.clock().now();
    json::value answer = {
        {"apiVersion", "authentication.k8s.io/v1"},
        {"kind", "TokenRequest"},
        {"metadata", {{"name", token.account}, {"namespace", token.ns}}},
        {"spec", {{"expirationSeconds", token.lifetime.count()}}},
        {"status",
         {{"token", crypto::sign_jwt(keys.front(), service_account_claims(token, host.config().server_url(), now))},
          {"expirationTimestamp", base::rfc3339(now + token.lifetime)}}}};
    co_return net::Response::json(201, answer);
  }

  async::Task<net::Response> discovery(ContextPtr) {
    const std::string issuer = host.config().server_url();
    const json::value document = {{"issuer", issuer},
                                  {"jwks_uri", issuer + "/oauth2/jwks"},
                                  {"response_types_supported", json::array{"id_token"}},
                                  {"subject_types_supported", json::array{"public"}},
                                  {"id_token_signing_alg_values_supported", json::array{"ES256"}},
                                  {"claims_supported", json::array{"iss", "sub", "aud", "exp", "iat"}}};
    co_return net::Response::json(200, document);
  }

  async::Task<net::Response> key_set(ContextPtr) {
    net::Response response = net::Response::json_bytes(200, std::make_shared<const std::string>(crypto::jwks(keys)));
    response.headers.set("Content-Type", "application/jwk-set+json");
    co_return response;
  }
};

}  // namespace

void add_routes(platform::Host& host, std::vector<crypto::PrivateKey> keys) {
  auto issuer = std::make_shared<Issuer>(Issuer{host, host.client("identity"), std::move(keys)});
  host.api().add_route(
      {"POST", "/apis/mainstay.dev/v1/users/{name}/token",
       api::Authenticated{"users make tokens for themselves; for others the handler asks for create users/token"},
       "Make a personal access token", [issuer](ContextPtr c) { return issuer->user_token(std::move(c)); }, nullptr});
  host.api().add_subresource({"", "serviceaccounts", "token", "POST", "create", "Make a token for a service account",
                              [issuer](ContextPtr c) { return issuer->service_account_token(std::move(c)); }});
  host.api().add_route({"GET", "/.well-known/openid-configuration",
                        api::Public{"clients find the issuer's keys before they have a token"},
                        "OpenID Connect discovery", [issuer](ContextPtr c) { return issuer->discovery(std::move(c)); },
                        nullptr});
  for (const char* path : {"/oauth2/jwks", "/openid/v1/jwks"}) {
    host.api().add_route({"GET", path, api::Public{"public keys"}, "The keys that verify the platform's tokens",
                          [issuer](ContextPtr c) { return issuer->key_set(std::move(c)); }, nullptr});
  }
}

}  // namespace mainstay::identity
