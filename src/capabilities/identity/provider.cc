#include "capabilities/identity/provider.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include "base/encoding.h"
#include "base/ids.h"
#include "base/status.h"
#include "base/strings.h"
#include "capabilities/identity/resources.h"
#include "crypto/digest.h"
#include "crypto/jwt.h"

namespace mainstay::identity {
namespace {

constexpr std::string_view kFormCookie = "__Host-mainstay-form";

std::int64_t seconds(base::SystemTime time) {
  return std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
}

}  // namespace

Provider::Provider(platform::Host& h, std::shared_ptr<KeyRing> ring, std::string key)
    : host(h),
      client(h.client("identity")),
      keys(std::move(ring)),
      secret(std::move(key)),
      clients(h.config(), h.caches(), client),
      grants(client, h.caches(), h.clock(), secret),
      sessions(client, h.caches(), h.clock()),
      credentials(client, h.runtime(), h.clock()),
      by_user_and_peer(h.clock(), 5, std::chrono::minutes(15)),
      by_user(h.clock(), 50, std::chrono::minutes(5)),
      by_peer(h.clock(), 50, std::chrono::minutes(5)),
      users(h.caches().of(resources::kUsers)),
      teams(h.caches().of(resources::kTeams)) {}

async::Task<net::Response> Provider::discovery(ContextPtr) {
  const std::string at = issuer();
  const json::array methods = {"client_secret_basic", "client_secret_post", "none"};
  const json::value document = {
      {"issuer", at},
      {"authorization_endpoint", at + "/oauth2/authorize"},
      {"token_endpoint", at + "/oauth2/token"},
      {"device_authorization_endpoint", at + "/oauth2/device_authorization"},
      {"userinfo_endpoint", at + "/oauth2/userinfo"},
      {"revocation_endpoint", at + "/oauth2/revoke"},
      {"end_session_endpoint", at + "/oauth2/logout"},
      {"jwks_uri", at + "/oauth2/jwks"},
      {"scopes_supported", {"openid", "profile", "email", "groups", "offline_access"}},
      {"response_types_supported", json::array{"code"}},
      {"response_modes_supported", json::array{"query"}},
      {"grant_types_supported",
       {"authorization_code", "refresh_token", "client_credentials", std::string(kDeviceGrant)}},
      {"subject_types_supported", json::array{"public"}},
      {"id_token_signing_alg_values_supported", json::array{"ES256"}},
      {"token_endpoint_auth_methods_supported", methods},
      {"revocation_endpoint_auth_methods_supported", methods},
      {"code_challenge_methods_supported", json::array{"S256"}},
      {"prompt_values_supported", {"none", "login", "consent"}},
      {"claims_supported",
       {"iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "amr", "sid", "name", "preferred_username", "email",
        "groups"}},
      {"request_parameter_supported", false},
      {"request_uri_parameter_supported", false},
      {"authorization_response_iss_parameter_supported", true}};
  co_return net::Response::json(200, document);
}

async::Task<net::Response> Provider::key_set(ContextPtr) {
  net::Response response =
      net::Response::json_bytes(200, std::make_shared<const std::string>(crypto::jwks(keys->all())));
  response.headers.set("Content-Type", "application/jwk-set+json");
  response.headers.set("Cache-Control", "public, max-age=300");
  co_return response;
}

async::Task<net::Response> Provider::rotate_keys(ContextPtr) {
  if (auto rotated = keys->rotate(); !rotated) throw base::from_error(rotated.error());
  json::array ids;
  for (const auto& key : keys->all()) ids.emplace_back(key.key_id());
  co_return net::Response::json(201, {{"signing", keys->signing().key_id()}, {"published", ids}});
}

async::Task<> Provider::sign_out_everywhere(std::string user) {
  co_await grants.end_all_of(user);
  co_await sessions.end_all_of(user);
  try {
    for (const client::ObjectPtr& login : (co_await client.list_objects(resources::kLoginTokens, "")).items) {
      if (base::get_string(*login, "spec.user") == user)
        co_await client.remove(resources::kLoginTokens, "", base::get_string(*login, "metadata.name"));
    }
  } catch (const base::StatusError& error) {
    if (!error.is_not_found()) throw;  // without the secrets capability there are none
  }
}

Provider::FormToken Provider::form_token(const net::Request& request) const {
  FormToken out;
  std::string mine = cookie(request, kFormCookie);
  if (mine.size() != 32) {
    mine = base::random_hex(16);
    out.set_cookie = fmt::format("{}={}; Path=/; Secure; HttpOnly; SameSite=Lax", kFormCookie, mine);
  }
  out.value = base::hex(crypto::hmac_sha256(secret, "form:" + mine));
  return out;
}

void Provider::check_form_token(const net::Request& request, const Form& form) const {
  const std::string mine = cookie(request, kFormCookie);
  const std::string wanted = base::hex(crypto::hmac_sha256(secret, "form:" + mine));
  const std::string_view origin = request.headers.get("Origin");
  const bool foreign = !origin.empty() && origin != "https://" + std::string(request.headers.get("Host"));
  if (mine.empty() || foreign || !base::constant_time_equal(wanted, form.get("form_token")))
    throw base::forbidden(
        "this form is not one that this browser was given here; go back, load the page anew and try again");
}

std::string Provider::ticket(std::string_view purpose, json::object content, std::chrono::seconds life) const {
  content["until"] = seconds(host.clock().now() + life);
  const std::string payload = base::base64url(json::serialize(content));
  return payload + "." + base::base64url(crypto::hmac_sha256(secret, fmt::format("ticket:{}:{}", purpose, payload)));
}

std::optional<json::object> Provider::open_ticket(std::string_view purpose, std::string_view text) const {
  const auto dot = text.find('.');
  if (dot == std::string_view::npos) return std::nullopt;
  const std::string_view payload = text.substr(0, dot);
  const std::string wanted =
      base::base64url(crypto::hmac_sha256(secret, fmt::format("ticket:{}:{}", purpose, payload)));
  if (!base::constant_time_equal(wanted, text.substr(dot + 1))) return std::nullopt;
  auto decoded = base::base64url_decode(payload);
  auto content = decoded ? base::parse_json(*decoded, 8) : base::Result<json::value>(std::unexpected(decoded.error()));
  if (!content || !content->is_object() || base::get_int(*content, "until") <= seconds(host.clock().now()))
    return std::nullopt;
  return std::move(content->as_object());
}

std::string peer_host(const net::Request& request) {
  std::string host = request.peer.substr(0, request.peer.rfind(':'));
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  std::array<unsigned char, 16> address{};
  if (inet_pton(AF_INET6, host.c_str(), address.data()) != 1) return host;
  if (IN6_IS_ADDR_V4MAPPED(reinterpret_cast<const in6_addr*>(address.data())))
    return fmt::format("{}.{}.{}.{}", address[12], address[13], address[14], address[15]);
  std::fill(address.begin() + 8, address.end(), 0);
  std::array<char, INET6_ADDRSTRLEN> text{};
  return std::string(inet_ntop(AF_INET6, address.data(), text.data(), text.size())) + "/64";
}

net::Response redirect(std::string location) {
  net::Response response = net::Response::empty(303);
  response.headers.set("Location", std::move(location));
  response.headers.set("Cache-Control", "no-store");
  response.headers.set("Referrer-Policy", "no-referrer");
  return response;
}

bool is_own_page(std::string_view path) {
  for (const char c : path) {
    if (static_cast<unsigned char>(c) <= 0x20 || c == 0x7f || c == '\\') return false;
  }
  for (const std::string_view page : {"/oauth2/authorize", "/oauth2/device", "/oauth2/account", "/console/"}) {
    if (path == page || (path.starts_with(page) && path[page.size()] == '?')) return true;
  }
  return false;
}

std::string with_parameters(const std::string& uri, const Form& parameters) {
  return uri + (uri.find('?') == std::string::npos ? "?" : "&") + parameters.encode();
}

}  // namespace mainstay::identity
