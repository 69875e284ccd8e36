// OAuthGrant objects: a user's word that a client may act for them, and what the client holds of it in turn: a code, a
// device code, refresh tokens. Objects, so that kill -9 loses none and deleting one ends all that came of it.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "capabilities/identity/form.h"
#include "client/cache.h"

namespace mainstay::identity {
namespace json = boost::json;

inline constexpr std::chrono::seconds kCodeLife{60}, kDeviceCodeLife{600}, kAccessTokenLife{900};
inline constexpr std::chrono::hours kSessionLife{12}, kOfflineLife{24 * 30};

struct NewGrant {
  std::string user, user_uid, client, client_uid, scope, nonce, session;
  std::int64_t auth_time = 0;
  std::vector<std::string> amr;
  bool lasts_beyond_session = false;  // offline_access, or a device
};

class Grants {
 public:
  Grants(client::ApiClient client, client::Caches& caches, const base::Clock& clock, std::string mac_key);
  // An authorization code: one use, 60 s.
  async::Task<std::string> issue_code(NewGrant grant, std::string redirect_uri, std::string challenge);
  // The grant of the code, once. A second use ends what came of the first (RFC 6749 4.1.2). Throws OAuthError.
  async::Task<json::value> redeem_code(std::string code, std::string client, std::string redirect_uri,
                                       std::string verifier);
  // RFC 8628. The device code is for the device, the user code ("BCDF-GHJK") for the person.
  struct Device {
    std::string device_code, user_code;
  };
  async::Task<Device> issue_device_code(NewGrant grant);
  client::ObjectPtr find_user_code(std::string_view typed) const;  // pending ones only; null where unknown
  // Whom it is for and since when, or that they refused.
  async::Task<> decide_device(std::string name, bool approved, NewGrant by);
  // Throws authorization_pending, slow_down, access_denied, expired_token, invalid_grant.
  async::Task<json::value> redeem_device(std::string device_code, std::string client);
  // Of the grant's present generation.
  std::string refresh_token(const json::value& grant) const;
  // The grant with its next generation. A token of an older one was copied: the whole family ends (RFC 9700 4.14).
  async::Task<json::value> rotate(std::string refresh_token, std::string client);
  // The grant that a refresh token is of, whatever its generation; "" where it is none of ours.
  std::string grant_of(std::string_view refresh_token) const;
  async::Task<> end(std::string name);
  // Every grant of the user (and of the session, where given) that does not last beyond a session.
  async::Task<> end_session(std::string session);
  async::Task<> end_all_of(std::string user);
  // Whether the user has let this very client in before: asking again would teach nobody. Another client of the same
  // name, with another `uid`, is a stranger.
  bool consented(std::string_view user, const std::string& client, std::string_view uid, std::string_view scope) const;
  std::shared_ptr<client::Cache> cache() const { return grants_; }

 private:
  std::string mac(std::string_view grant, std::int64_t generation) const;
  async::Task<json::value> create(NewGrant grant, json::object more, std::chrono::seconds life);
  async::Task<json::value> update(json::value grant);
  void activate(json::value& grant) const;

  client::ApiClient client_;
  std::shared_ptr<client::Cache> grants_;
  const base::Clock& clock_;
  std::string mac_key_;
  std::map<std::string, base::SystemTime> polled_;  // device grants, when they asked last
};

bool has_scope(std::string_view scopes, std::string_view one);

}  // namespace mainstay::identity
