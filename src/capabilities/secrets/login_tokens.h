// Tokens that a login issues for a JWT: LoginToken objects, of which only a hash of the secret is kept. Their user has
// the rights of the JWT's subject at the time of each request: a pod that has ended, an account that is gone or a user
// who was disabled ends them at once.
#pragma once
#include <memory>
#include <string>

#include "api/user.h"
#include "platform/host.h"

namespace mainstay::secrets {
namespace json = boost::json;

inline const client::Resource kLoginTokens{"mainstay.dev", "v1", "logintokens", false, "LoginToken"};
inline constexpr std::chrono::seconds kTokenLife{3600}, kLongestLife{24 * 3600};

class LoginTokens {
 public:
  explicit LoginTokens(platform::Host& host);
  async::Task<> synced();
  struct Issued {
    std::string text;  // "mlt_<id>_<secret>", shown once
    client::ObjectPtr object;
  };
  // For a user that was authenticated by a JWT. Good for use when it resumes.
  async::Task<Issued> issue(api::UserInfo user, std::string method, std::string role);
  // nullopt: not one of ours. `as_of`: see api::Authenticator::Verify.
  std::optional<base::Result<api::UserInfo>> verify(const std::string& token,
                                                    std::optional<base::SystemTime> as_of = std::nullopt) const;
  // The object of a token of ours that verifies; nullptr: another kind of token.
  client::ObjectPtr object_of(const std::string& token, std::optional<base::SystemTime> as_of = std::nullopt) const;
  // Extends by `increment`, never beyond the longest life; gives the new end.
  async::Task<base::SystemTime> renew(client::ObjectPtr token, std::chrono::seconds increment);
  async::Task<> revoke(std::string name);
  // Deletes each when it has ended.
  reconcile::Reconcile expiry();

 private:
  base::Result<api::UserInfo> user_of(const json::value& token) const;
  base::Result<> check_account(const json::value& token) const;
  async::Task<> bound_count(std::string user);

  platform::Host& host_;
  const base::Clock& clock_;
  client::ApiClient client_;
  std::shared_ptr<client::Cache> tokens_, accounts_, pods_;
};

}  // namespace mainstay::secrets
