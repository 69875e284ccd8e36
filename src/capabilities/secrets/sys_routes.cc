#include "capabilities/secrets/sys_routes.h"

#include "base/status.h"
#include "capabilities/secrets/vault_answer.h"
#include "platform/interfaces/master_key.h"

namespace mainstay::secrets {
namespace {

// Clients read it as the API's version: KV 2, PATCH and custom_metadata are there from 1.9 on.
constexpr const char* kVersion = "1.15.0+mainstay";

json::object mount() {
  return {{"type", "kv"},
          {"description", "secrets of teams: secret/<team>/<name>"},
          {"options", {{"version", "2"}}},
          {"path", "secret/"},
          {"accessor", "kv_mainstay"},
          {"local", false},
          {"seal_wrap", false},
          {"uuid", "secret"},
          {"config", {{"default_lease_ttl", 0}, {"max_lease_ttl", 0}, {"force_no_cache", false}}}};
}

async::Task<net::Response> health() {
  co_return net::Response::json(
      200, json::object{
               {"initialized", true},
               {"sealed", false},
               {"standby", false},
               {"performance_standby", false},
               {"replication_performance_mode", "disabled"},
               {"replication_dr_mode", "disabled"},
               {"server_time_utc",
                std::chrono::duration_cast<std::chrono::seconds>(base::real_clock().now().time_since_epoch()).count()},
               {"version", kVersion},
               {"cluster_name", "mainstay"},
               {"cluster_id", "mainstay"}});
}

async::Task<net::Response> seal_status() {
  co_return net::Response::json(200, json::object{{"type", "mainstay"},
                                                  {"initialized", true},
                                                  {"sealed", false},
                                                  {"t", 1},
                                                  {"n", 1},
                                                  {"progress", 0},
                                                  {"version", kVersion},
                                                  {"storage_type", "mainstay"}});
}

async::Task<net::Response> mounts(bool ui) {
  if (ui) co_return answer(json::object{{"secret", {{"secret/", mount()}}}, {"auth", json::object{}}});
  co_return answer(json::object{{"secret/", mount()}});
}

// What clients ask before their first request of a path: which engine is there.
async::Task<net::Response> ui_mount(ContextPtr context) {
  const std::string path = context->params.at("path");
  if (path != "secret" && !path.starts_with("secret/"))
    throw base::forbidden("preflight capability check returned 403: there is one mount, secret/");
  co_return answer(mount());
}

async::Task<net::Response> rotate(platform::Host* host, ContextPtr context) {
  if (context->http->method != "POST" && context->http->method != "PUT")
    throw base::StatusError(405, "MethodNotAllowed", "unsupported operation");
  auto done = co_await host->find<platform::MasterKey>()->rotate();
  if (!done) throw base::from_error(done.error());
  co_return answer(json::object{
      {"rewrapped", *done}, {"keys", host->sealer().keys()}, {"passphrase", host->sealer().has_passphrase()}});
}

async::Task<net::Response> unknown(ContextPtr context) {
  throw base::StatusError(
      404, "NotFound",
      fmt::format(
          "no handler for route \"{}\": served are secret/ (KV version 2), auth/token, auth/kubernetes, auth/jwt "
          "and sys/health, sys/mounts, sys/rotate",
          context->params.at("rest")));
  co_return net::Response{};
}

void add(platform::Host& host, std::string method, std::string pattern, api::Permission permission, std::string summary,
         Handler handler) {
  api::Route route;
  route.method = std::move(method);
  route.pattern = std::move(pattern);
  route.permission = std::move(permission);
  route.summary = std::move(summary);
  route.handler = in_vault_form(std::move(handler));
  route.on_denied = &denied;
  host.api().add_route(std::move(route));
}

// auth

json::object auth_of(const json::value& token, const std::string& text, std::int64_t seconds) {
  json::object metadata = {{"role", base::get_string(token, "spec.role")},
                           {"user", base::get_string(token, "spec.user")}};
  if (base::find(token, "spec.serviceAccount") != nullptr) {
    metadata["service_account_namespace"] = base::get_string(token, "spec.serviceAccount.namespace");
    metadata["service_account_name"] = base::get_string(token, "spec.serviceAccount.name");
    metadata["service_account_uid"] = base::get_string(token, "spec.uid");
  }
  return {{"client_token", text},
          {"accessor", base::get_string(token, "metadata.name")},
          {"policies", json::array{"mainstay-rbac"}},
          {"token_policies", json::array{"mainstay-rbac"}},
          {"metadata", std::move(metadata)},
          {"lease_duration", seconds},
          {"renewable", true},
          {"entity_id", base::get_string(token, "spec.uid")},
          {"token_type", "service"},
          {"orphan", true}};
}

net::Response auth_answer(json::object auth) {
  net::Response response = net::Response::json(200, json::object{{"request_id", ""},
                                                                 {"lease_id", ""},
                                                                 {"renewable", false},
                                                                 {"lease_duration", 0},
                                                                 {"data", nullptr},
                                                                 {"wrap_info", nullptr},
                                                                 {"warnings", nullptr},
                                                                 {"auth", std::move(auth)}});
  response.headers.set("Cache-Control", "no-store");
  return response;
}

async::Task<json::value> json_body(ContextPtr context) {
  const std::string text = co_await context->http->body->read_all(32 * 1024);
  auto body = base::parse_json(text.empty() ? "{}" : text, 8);
  if (!body || !body->is_object()) throw base::bad_request("the body is not a JSON object");
  co_return *std::move(body);
}

// The JWT is the credential: the same verification that every request's token goes through.
async::Task<net::Response> login(platform::Host* host, std::shared_ptr<LoginTokens> tokens, ContextPtr context,
                                 std::string method) {
  const json::value body = co_await json_body(context);
  const std::string jwt = base::get_string(body, "jwt"), role = base::get_string(body, "role");
  if (jwt.empty()) throw base::bad_request("missing jwt");
  if (role.size() > 200) throw base::bad_request("role: longer than 200 characters");
  if (std::count(jwt.begin(), jwt.end(), '.') != 2)
    throw base::bad_request("jwt: not a JSON Web Token (an access token needs no login: send it as X-Vault-Token)");
  auto user = co_await host->api().authenticator().authenticate_token(jwt);
  if (!user) throw base::forbidden("permission denied: " + user.error().message);
  const bool account = user->name.starts_with("system:serviceaccount:");
  if (method == "kubernetes" && !account)
    throw base::forbidden("permission denied: the token is not a ServiceAccount's; use auth/jwt/login");
  context->user = *user;
  (*context->audit_annotations)["mainstay.dev/login"] = user->name;
  const LoginTokens::Issued issued = co_await tokens->issue(*std::move(user), method, role);
  co_return auth_answer(auth_of(*issued.object, issued.text, kTokenLife.count()));
}

std::int64_t seconds_until(const json::value& token, base::SystemTime now) {
  const auto expires = base::parse_rfc3339(base::get_string(token, "spec.expiresAt"));
  return expires ? std::max<std::int64_t>(0, std::chrono::duration_cast<std::chrono::seconds>(*expires - now).count())
                 : 0;
}

async::Task<net::Response> lookup_self(std::shared_ptr<LoginTokens> tokens, ContextPtr context) {
  const client::ObjectPtr token = tokens->object_of(presented_token(*context->http));
  json::object data = {{"display_name", context->user.name},
                       {"entity_id", context->user.uid},
                       {"meta", {{"user", context->user.name}}},
                       {"num_uses", 0},
                       {"orphan", true},
                       {"policies", json::array{"mainstay-rbac"}},
                       {"type", "service"},
                       {"renewable", token != nullptr},
                       {"ttl", 0},
                       {"expire_time", nullptr},
                       {"path", "auth/token/create"}};
  if (token) {
    data["accessor"] = base::get_string(*token, "metadata.name");
    data["ttl"] = seconds_until(*token, base::real_clock().now());
    data["creation_ttl"] = kTokenLife.count();
    data["explicit_max_ttl"] = kLongestLife.count();
    data["issue_time"] = base::get_string(*token, "spec.issuedAt");
    data["expire_time"] = base::get_string(*token, "spec.expiresAt");
    data["path"] = fmt::format("auth/{}/login", base::get_string(*token, "spec.method"));
  }
  co_return answer(std::move(data));
}

async::Task<net::Response> renew_self(std::shared_ptr<LoginTokens> tokens, ContextPtr context) {
  const std::string text = presented_token(*context->http);
  const client::ObjectPtr token = tokens->object_of(text);
  if (!token) throw base::bad_request("the token is not renewable: only tokens that a login issued are");
  const json::value body = co_await json_body(context);
  std::int64_t increment = kTokenLife.count();
  if (const json::value* asked = base::find(body, "increment"); asked != nullptr && !asked->is_null()) {
    const auto duration = asked->is_string()
                              ? base::parse_duration(asked->get_string())
                              : base::Result<std::chrono::nanoseconds>(std::chrono::seconds(
                                    asked->is_int64() ? std::clamp<std::int64_t>(asked->get_int64(), 0, 86400) : 0));
    if (!duration) throw base::bad_request("increment: " + duration.error().message);
    const auto whole = std::chrono::duration_cast<std::chrono::seconds>(*duration).count();
    if (whole > 0) increment = std::min<std::int64_t>(whole, kLongestLife.count());
  }
  co_await tokens->renew(token, std::chrono::seconds(increment));
  const client::ObjectPtr renewed = tokens->object_of(text);
  if (!renewed) throw base::forbidden("permission denied: the token has ended");
  co_return auth_answer(auth_of(*renewed, text, seconds_until(*renewed, base::real_clock().now())));
}

async::Task<net::Response> revoke_self(std::shared_ptr<LoginTokens> tokens, ContextPtr context) {
  const client::ObjectPtr token = tokens->object_of(presented_token(*context->http));
  if (!token)
    throw base::bad_request("only tokens that a login issued end here; delete the AccessToken or disable the user");
  co_await tokens->revoke(base::get_string(*token, "metadata.name"));
  co_return net::Response::empty(204);
}

}  // namespace

void add_sys_routes(platform::Host& host, std::shared_ptr<KvStore> store) {
  const api::Public probes{"clients and probes ask it before they have a token; it tells nothing of secrets"};
  const api::Authenticated any{"tells how the one mount is called"};
  add(host, "GET", "/v1/sys/health", probes, "Secrets: whether they are served", [](ContextPtr) { return health(); });
  add(host, "GET", "/v1/sys/seal-status", probes, "Secrets: whether they are served",
      [](ContextPtr) { return seal_status(); });
  add(host, "GET", "/v1/sys/mounts", any, "Secrets: the engines", [](ContextPtr) { return mounts(false); });
  add(host, "GET", "/v1/sys/internal/ui/mounts", any, "Secrets: the engines", [](ContextPtr) { return mounts(true); });
  add(host, "GET", "/v1/sys/internal/ui/mounts/{path...}", any, "Secrets: the engine of a path",
      [](ContextPtr c) { return ui_mount(std::move(c)); });
  add(host, "*", "/v1/sys/rotate", api::Require([](const api::RequestContext&) {
        return api::Attributes{"update", "mainstay.dev", "secrets", "masterkey", "", "", ""};
      }),
      "Secrets: a new master key, and every data key wrapped by it",
      [&host](ContextPtr c) { return rotate(&host, std::move(c)); });
  add(host, "*", "/v1/{rest...}", api::Authenticated{"says what is served"}, "Secrets: what is not served",
      [](ContextPtr c) { return unknown(std::move(c)); });
  host.find<platform::MasterKey>()->also([store] { return store->rewrap(); });
}

void add_auth_routes(platform::Host& host, std::shared_ptr<LoginTokens> tokens) {
  const api::Public logins{"the JWT in the body is the credential"};
  for (const std::string method : {"kubernetes", "jwt"}) {
    for (const char* verb : {"POST", "PUT"}) {
      add(host, verb, "/v1/auth/" + method + "/login", logins, "Secrets: a token for a " + method + " JWT",
          [&host, tokens, method](ContextPtr c) { return login(&host, tokens, std::move(c), method); });
    }
  }
  const api::Authenticated own{"about the caller's own token"};
  add(host, "GET", "/v1/auth/token/lookup-self", own, "Secrets: the caller's token",
      [tokens](ContextPtr c) { return lookup_self(tokens, std::move(c)); });
  for (const char* verb : {"POST", "PUT"}) {
    add(host, verb, "/v1/auth/token/renew-self", own, "Secrets: renew the caller's token",
        [tokens](ContextPtr c) { return renew_self(tokens, std::move(c)); });
    add(host, verb, "/v1/auth/token/revoke-self", own, "Secrets: end the caller's token",
        [tokens](ContextPtr c) { return revoke_self(tokens, std::move(c)); });
  }
}

std::optional<std::string> vault_token(const net::Request& request) {
  // Only below auth/: a secret may well be called login.
  const bool login = request.path.starts_with("/v1/auth/") && request.path.ends_with("/login");
  if (!request.path.starts_with("/v1/") || login || request.path == "/v1/sys/health" ||
      request.path == "/v1/sys/seal-status")
    return std::nullopt;
  const std::string_view token = request.headers.get("X-Vault-Token");
  return token.empty() ? std::nullopt : std::optional<std::string>(token);
}

}  // namespace mainstay::secrets
