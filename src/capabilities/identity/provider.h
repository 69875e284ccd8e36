// The OpenID provider on the API endpoint (OpenID Connect Core 1.0, OAuth 2.0 as RFC 9700 wants it). The issuer is the
// endpoint's URL. Handlers are coroutines over one shared state.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "capabilities/identity/clients.h"
#include "capabilities/identity/credentials.h"
#include "capabilities/identity/grants.h"
#include "capabilities/identity/limiter.h"
#include "capabilities/identity/login_sessions.h"
#include "capabilities/identity/pages.h"
#include "capabilities/identity/signing_keys.h"
#include "platform/host.h"

namespace mainstay::identity {

using ContextPtr = std::shared_ptr<api::RequestContext>;

class Upstreams;

// A request to let a client act for a user, checked as far as the client and its redirect go.
struct Authorization {
  OAuthClient client;
  Form form;
  std::string redirect_uri, scope;
};

struct Provider : std::enable_shared_from_this<Provider> {
  Provider(platform::Host& host, std::shared_ptr<KeyRing> keys, std::string secret);

  platform::Host& host;
  client::ApiClient client;
  std::shared_ptr<KeyRing> keys;
  std::string secret;  // DIR/keys/sign-in.key: makes refresh tokens, form tokens and tickets
  OAuthClients clients;
  Grants grants;
  LoginSessions sessions;
  Credentials credentials;
  FailureLimiter by_user_and_peer, by_user, by_peer;
  std::shared_ptr<client::Cache> users, teams;
  std::shared_ptr<Upstreams> upstreams;

  std::string issuer() const { return host.config().server_url(); }

  // Endpoints of applications: errors are JSON.
  async::Task<net::Response> discovery(ContextPtr);
  async::Task<net::Response> key_set(ContextPtr);
  async::Task<net::Response> token(ContextPtr);
  async::Task<net::Response> device_authorization(ContextPtr);
  async::Task<net::Response> userinfo(ContextPtr);
  async::Task<net::Response> revoke(ContextPtr);
  async::Task<net::Response> rotate_keys(ContextPtr);
  // Pages of people: errors are pages.
  async::Task<net::Response> authorize(ContextPtr);
  async::Task<net::Response> consent(ContextPtr);
  async::Task<net::Response> login(ContextPtr);
  async::Task<net::Response> login_code(ContextPtr);
  async::Task<net::Response> login_password(ContextPtr);
  async::Task<net::Response> device_page(ContextPtr);
  async::Task<net::Response> device_answer(ContextPtr);
  async::Task<net::Response> logout(ContextPtr);
  async::Task<net::Response> account(ContextPtr);
  async::Task<net::Response> account_change(ContextPtr);

  // provider_login.cc
  // The form of sign-in; `back` is where it leads to: one of our own pages.
  net::Response login_page(const net::Request& request, const std::string& back, const std::string& hint,
                           const std::string& error, const std::string& target);
  async::Task<net::Response> signed_in(std::string user, std::vector<std::string> amr, std::string provider,
                                       std::string back);
  // Ends all that a user has signed in with: browsers, applications, devices, and logins to secrets that came of them.
  async::Task<> sign_out_everywhere(std::string user);
  // A hidden field that proves a form to be ours: tied to a cookie of this browser.
  std::string form_token(const net::Request& request, net::Response& response) const;
  // The same, for a page in the making: the value, and the Set-Cookie that must go with it ("" where it is there).
  struct FormToken {
    std::string value, set_cookie;
  };
  FormToken form_token(const net::Request& request) const;
  void check_form_token(const net::Request& request, const Form& form) const;  // throws StatusError 403
  // A statement of ours to ourselves, in a hidden field or a cookie: signed, with an end.
  std::string ticket(std::string_view purpose, json::object content,
                     std::chrono::seconds life = std::chrono::minutes(10)) const;
  std::optional<json::object> open_ticket(std::string_view purpose, std::string_view text) const;
  async::Task<net::Response> next_step(std::shared_ptr<net::Request> request, std::string user, std::string back,
                                       std::vector<std::string> amr);

  // provider_token.cc
  json::object token_answer(const json::value& grant, const OAuthClient& client) const;
  json::object user_claims(const json::value& user, std::string_view scope, std::string_view client_id) const;

 private:
  async::Task<net::Response> code_grant(OAuthClient client, Form form);
  async::Task<net::Response> refresh_grant(OAuthClient client, Form form);
  async::Task<net::Response> device_grant(OAuthClient client, Form form);
  async::Task<net::Response> client_credentials(OAuthClient client, Form form);
  async::Task<OAuthClient> authenticated_client(ContextPtr context, Form form);
  async::Task<net::Response> new_password(LoginSession session, FormToken token, std::string password);
  void check_alive(const json::value& grant) const;
  async::Task<net::Response> answer_authorization(ContextPtr context, Authorization what);
  Authorization check_authorization(const Form& form) const;
  // A further step of a sign-in. Its ticket is for the credential as it was then, and so for one change only; a
  // `refusal` is the page to answer with.
  struct Step {
    json::value content;
    std::string user, back;
    std::optional<json::value> credential;
    std::optional<net::Response> refusal;
  };
  async::Task<Step> resume(std::shared_ptr<net::Request> request, Form form, std::string purpose,
                           std::string if_changed);
  LimitedTry limited_try(const net::Request& request, const std::string& user, bool second_factor);
  std::string known_browser(const net::Request& request, const std::string& user) const;
  std::string known_cookie(const net::Request& request, const std::string& user) const;
  async::Task<std::string> password_step(ContextPtr context, std::string user, std::string password);
};

// Whom failures are counted for: an IPv4 address, or the /64 that one holder of IPv6 addresses has to choose from.
std::string peer_host(const net::Request& request);
net::Response redirect(std::string location);
// Where a sign-in may lead: our own pages only.
bool is_own_page(std::string_view path);
// A redirect URI with parameters added to its query.
std::string with_parameters(const std::string& uri, const Form& parameters);

}  // namespace mainstay::identity
