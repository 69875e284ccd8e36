// Making and verifying the kinds of token: signed ones for service accounts and for people who signed in, and personal
// access tokens.
#pragma once
#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "api/user.h"
#include "base/clock.h"
#include "base/result.h"
#include "capabilities/identity/signing_keys.h"
#include "client/cache.h"

namespace mainstay::identity {
namespace json = boost::json;

inline constexpr std::string_view kWorkflowRunExtra = "mainstay.dev/workflow-run";

struct ServiceAccountToken {
  std::string ns, account, account_uid;
  std::string pod, pod_uid;  // bound to that pod, where set
  std::string workflow_run;  // "<ns>/<run>", where the pod runs a job of one
  std::vector<std::string> audiences;
  std::chrono::seconds lifetime{3600};
};
json::object service_account_claims(const ServiceAccountToken& token, const std::string& issuer, base::SystemTime now);

struct PersonalToken {
  std::string text;      // "mst_<id>_<secret>", shown once
  std::string id, hash;  // what is kept
};
PersonalToken make_personal_token();

// What a User is by their Teams, by their directory's groups (status.federated.groups) and by spec.admin.
std::vector<std::string> groups_of_user(const json::value& user, const std::vector<client::ObjectPtr>& teams);

// As a request of theirs is authorized. `user` may be null; an error: they are disabled or gone.
base::Result<api::UserInfo> user_info(const client::ObjectPtr& user, const std::vector<client::ObjectPtr>& teams);

// Verifies tokens against the objects they speak of: an account or pod that is gone, a disabled user or a deleted
// AccessToken ends them at once. Remembers what it verified until one of those objects changes. On the loop.
class TokenVerifier {
 public:
  // `ended` is called where tokens may have ended before their time.
  TokenVerifier(std::shared_ptr<const KeyRing> keys, std::string issuer, std::vector<std::string> audiences,
                client::Caches& caches, const base::Clock& clock, std::function<void()> ended);
  async::Task<> synced() const;
  // nullopt: not a token of ours. `as_of`: see api::Authenticator::Verify.
  std::optional<base::Result<api::UserInfo>> verify(const std::string& token,
                                                    std::optional<base::SystemTime> as_of = std::nullopt);

 private:
  struct Known {
    base::Result<api::UserInfo> user;
    base::SystemTime expires;
  };
  std::optional<Known> look_up(const std::string& token, base::SystemTime now) const;
  Known verify_signed(const std::string& token, base::SystemTime now) const;
  Known verify_access(const json::value& claims) const;  // an access token of our own clients (RFC 9068)
  Known verify_personal(const std::string& token, base::SystemTime now) const;
  void remember(const std::string& token_digest, const Known& known);

  static constexpr std::size_t kMaxKnown = 4096;
  std::shared_ptr<const KeyRing> keys_;
  std::string issuer_;
  std::vector<std::string> audiences_;
  const base::Clock& clock_;
  std::shared_ptr<client::Cache> users_, teams_, tokens_, accounts_, pods_, grants_, clients_;
  std::unordered_map<std::string, Known> known_;  // by the token's SHA-256: tokens themselves are not kept
};

}  // namespace mainstay::identity
