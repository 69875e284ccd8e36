// OAuth clients: the platform's own two, and teams' OAuthClient objects.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/config.h"
#include "capabilities/identity/form.h"
#include "client/cache.h"

namespace mainstay::identity {

inline constexpr std::string_view kCliClient = "mainstay-cli";
inline constexpr std::string_view kConsoleClient = "mainstay-console";
inline constexpr std::string_view kDeviceGrant = "urn:ietf:params:oauth:grant-type:device_code";

struct OAuthClient {
  std::string id, uid;   // uid: "" for the platform's own
  std::string ns, name;  // of the object
  std::string display_name;
  bool is_public = true;
  bool own = false;  // the platform's: its tokens speak for the user in the whole API
  std::string secret_name, service_account;
  std::vector<std::string> redirect_uris, logout_uris, grant_types;
  bool may(std::string_view grant_type) const;
  bool ask_consent() const { return id != kConsoleClient; }
};

class OAuthClients {
 public:
  OAuthClients(const base::Config& config, client::Caches& caches, client::ApiClient client);
  std::optional<OAuthClient> find(std::string_view client_id) const;
  // Compared character by character (RFC 9700 2.1); for our own command the port on a loopback address is free
  // (RFC 8252 7.3).
  bool redirect_allowed(const OAuthClient& client, const std::string& uri) const;
  bool logout_redirect_allowed(const OAuthClient& client, const std::string& uri) const;
  // The client of a token request: RFC 6749 2.3.1 (Basic or in the form), or a public one by its client_id alone.
  // Throws OAuthError invalid_client.
  async::Task<OAuthClient> authenticate(std::shared_ptr<net::Request> request, Form form) const;
  std::shared_ptr<client::Cache> cache() const { return objects_; }

 private:
  bool own_address(const std::string& uri, std::string_view path) const;
  const base::Config& config_;
  std::shared_ptr<client::Cache> objects_;
  client::ApiClient client_;
};

// "shop" of an OAuthClient's client_id "shop.web"; "" for the platform's own.
std::string_view namespace_of_client(std::string_view client_id);
// An absolute https URI, or http on a loopback address; no fragment, no credentials (RFC 6749 3.1.2, RFC 8252).
base::Result<> check_redirect_uri(std::string_view uri);

}  // namespace mainstay::identity
