#include "capabilities/identity/clients.h"

#include <algorithm>
#include <boost/url.hpp>

#include "base/encoding.h"
#include "base/strings.h"
#include "capabilities/identity/pages.h"
#include "capabilities/identity/resources.h"
#include "crypto/digest.h"

namespace mainstay::identity {
namespace {
namespace json = boost::json;

std::vector<std::string> strings(const json::value& object, std::string_view path) {
  std::vector<std::string> out;
  for (const json::value& one : base::get_array(object, path)) {
    if (one.is_string()) out.emplace_back(one.as_string());
  }
  return out;
}

bool is_loopback(std::string_view host) { return host == "127.0.0.1" || host == "[::1]" || host == "localhost"; }

// The URI without the port of a loopback address; the URI itself for any other.
std::string without_loopback_port(const std::string& uri) {
  auto parsed = boost::urls::parse_uri(uri);
  if (!parsed || parsed->scheme() != "http" || !is_loopback(parsed->encoded_host())) return uri;
  boost::urls::url plain(*parsed);
  plain.remove_port();
  return plain.buffer();
}

OAuthClient cli_client() {
  OAuthClient cli;
  cli.id = kCliClient;
  cli.display_name = "the mainstay command";
  cli.own = true;
  cli.redirect_uris = {"http://127.0.0.1/callback", "http://[::1]/callback"};
  cli.grant_types = {"authorization_code", "refresh_token", std::string(kDeviceGrant)};
  return cli;
}

OAuthClient console_client() {
  OAuthClient console;
  console.id = kConsoleClient;
  console.display_name = "the Mainstay console";
  console.own = true;
  console.grant_types = {"authorization_code", "refresh_token"};
  return console;
}

struct Presented {
  std::string id, secret;
  bool basic = false;
};

Presented credentials_in(const net::Request& request, const Form& form) {
  const auto bad = [](std::string why) { return OAuthError("invalid_client", std::move(why), 401); };
  const std::string_view header = request.headers.get("Authorization");
  if (header.empty()) return {form.get("client_id"), form.get("client_secret"), false};
  if (header.size() < 6 || !base::iequals(header.substr(0, 6), "Basic "))
    throw bad("clients authenticate with Basic, or with client_id and client_secret in the form");
  if (form.has("client_secret")) throw OAuthError("invalid_request", "the client authenticates in two ways at once");
  auto decoded = base::base64_decode(base::trim(header.substr(6)));
  const auto colon = decoded ? decoded->find(':') : std::string::npos;
  if (colon == std::string::npos) throw bad("the Basic credentials are malformed");
  auto id = base::percent_decode(decoded->substr(0, colon), true);
  auto secret = base::percent_decode(decoded->substr(colon + 1), true);
  if (!id || !secret) throw bad("the Basic credentials are malformed");
  if (form.has("client_id") && form.get("client_id") != *id)
    throw OAuthError("invalid_request", "client_id differs from the Basic credentials");
  return {*id, *secret, true};
}

}  // namespace

bool OAuthClient::may(std::string_view grant_type) const {
  return std::ranges::find(grant_types, grant_type) != grant_types.end();
}

std::string_view namespace_of_client(std::string_view client_id) {
  const auto dot = client_id.find('.');
  return dot == std::string_view::npos ? std::string_view() : client_id.substr(0, dot);
}

base::Result<> check_redirect_uri(std::string_view uri) {
  const auto bad = [&](std::string_view why) {
    return base::fail(base::ErrorCode::kInvalid, fmt::format("\"{}\": {}", uri.substr(0, 200), why));
  };
  const auto parsed = boost::urls::parse_uri(uri);
  if (!parsed) return bad("not an absolute URI");
  if (parsed->has_fragment()) return bad("a fragment is not allowed");
  if (parsed->has_userinfo()) return bad("credentials are not allowed");
  if (parsed->encoded_host().empty()) return bad("the host is missing");
  if (origin_of(uri).empty()) return bad("the host holds unusual characters");
  if (parsed->scheme() == "https" || (parsed->scheme() == "http" && is_loopback(parsed->encoded_host()))) return {};
  return bad("must be https, or http on a loopback address");
}

OAuthClients::OAuthClients(const base::Config& config, client::Caches& caches, client::ApiClient client)
    : config_(config), objects_(caches.of(resources::kOAuthClients)), client_(std::move(client)) {}

std::optional<OAuthClient> OAuthClients::find(std::string_view id) const {
  if (id == kCliClient) return cli_client();
  if (id == kConsoleClient) return console_client();
  const std::string_view ns = namespace_of_client(id);
  if (ns.empty()) return std::nullopt;
  const client::ObjectPtr object = objects_->get(ns, id.substr(ns.size() + 1));
  if (!object || !base::get_string(*object, "metadata.deletionTimestamp").empty()) return std::nullopt;
  OAuthClient out;
  out.id = id;
  out.ns = ns;
  out.name = id.substr(ns.size() + 1);
  out.uid = base::get_string(*object, "metadata.uid");
  out.display_name = base::get_string(*object, "spec.displayName", out.name);
  out.is_public = base::get_bool(*object, "spec.public");
  out.secret_name = base::get_string(*object, "spec.secretName", out.name + "-oauth");
  out.service_account = base::get_string(*object, "spec.serviceAccountName");
  out.redirect_uris = strings(*object, "spec.redirectURIs");
  out.logout_uris = strings(*object, "spec.postLogoutRedirectURIs");
  out.grant_types = strings(*object, "spec.grantTypes");
  return out;
}

bool OAuthClients::own_address(const std::string& uri, std::string_view path) const {
  if (!uri.starts_with("https://")) return false;
  const auto slash = uri.find('/', 8);
  if (slash == std::string::npos || uri.substr(slash) != path) return false;
  return config_.is_own_registry(uri.substr(8, slash - 8));
}

bool OAuthClients::redirect_allowed(const OAuthClient& client, const std::string& uri) const {
  if (!check_redirect_uri(uri)) return false;
  if (client.id == kConsoleClient) return own_address(uri, "/console/callback");
  return std::ranges::any_of(client.redirect_uris, [&](const std::string& known) {
    return known == uri || (client.own && known == without_loopback_port(uri));
  });
}

bool OAuthClients::logout_redirect_allowed(const OAuthClient& client, const std::string& uri) const {
  if (client.id == kConsoleClient) return own_address(uri, "/console/");
  return check_redirect_uri(uri) && std::ranges::find(client.logout_uris, uri) != client.logout_uris.end();
}

async::Task<OAuthClient> OAuthClients::authenticate(std::shared_ptr<net::Request> request, Form form) const {
  const Presented shown = credentials_in(*request, form);
  const OAuthError unknown("invalid_client", "the client is not known here, or its secret is wrong", 401);
  auto client = find(shown.id);
  if (!client) throw unknown;
  if (client->is_public) {
    if (!shown.secret.empty()) throw OAuthError("invalid_client", "this is a public client: it has no secret", 401);
    co_return *std::move(client);
  }
  const auto secret = co_await client_.find(resources::kSecrets, client->ns, client->secret_name);
  const json::value* data = secret ? base::find(*secret, {"data", "client-secret"}) : nullptr;
  auto kept = base::base64_decode(data != nullptr && data->is_string() ? std::string_view(data->as_string()) : "");
  if (!kept || kept->size() < 16 || shown.secret.empty() ||
      !base::constant_time_equal(crypto::sha256_raw(*kept), crypto::sha256_raw(shown.secret)))
    throw unknown;
  co_return *std::move(client);
}

}  // namespace mainstay::identity
