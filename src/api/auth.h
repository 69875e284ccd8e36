// Authentication and authorization as the request chain asks for them.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/user.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/result.h"
#include "net/http.h"
#include "store/backend.h"

namespace mainstay::api {

// Tries credentials in turn. identity/ adds its kinds (service account JWT, OIDC id token, personal access token).
class Authenticator {
 public:
  // nullopt: not of my kind. An error (kUnauthenticated): of my kind, and bad. `secret` is the bearer token, or the
  // password of Basic credentials with `user_name` set.
  // `as_of`: the moment whose clock decides on its age; nullopt: now. A credential that was good then, and has grown
  // old since, is told from one whose user, grant or pod is gone.
  using Verify = std::function<async::Task<std::optional<base::Result<UserInfo>>>(
      std::string secret, std::string user_name, std::optional<base::SystemTime> as_of)>;
  void add(std::string kind, Verify verify);
  // Another place a token may stand in, asked where there is no Authorization header: protocols with a header of their
  // own (X-Vault-Token). nullopt: not a request of that protocol, or no token in it.
  using Find = std::function<std::optional<std::string>(const net::Request&)>;
  void add_source(Find find);
  // From Authorization (Bearer, Basic) or the client certificate (CN = user, O = groups); anonymous where there is
  // none.
  async::Task<base::Result<UserInfo>> authenticate(const net::Request& request,
                                                   std::optional<base::SystemTime> as_of = std::nullopt) const;
  async::Task<base::Result<UserInfo>> authenticate_token(std::string token, std::string user_name = "",
                                                         std::optional<base::SystemTime> as_of = std::nullopt) const;

 private:
  std::vector<std::pair<std::string, Verify>> verifiers_;
  std::vector<Find> sources_;
  // Certificates already taken apart, by their PEM: a connection shows the same one with each request. Bounded.
  mutable std::map<std::string, UserInfo, std::less<>> certificates_;
};
// Adds the groups that follow from who it is: system:authenticated, system:serviceaccounts(:<namespace>).
void add_implied_groups(UserInfo& user);

// RBAC (rbac.authorization.k8s.io/v1) over the objects in the store, read directly from memory and compiled; compiled
// anew at the first question after one of them changed. Synchronous, on the loop.
class Authorizer {
 public:
  explicit Authorizer(const store::Backend& store);
  ~Authorizer();
  Decision authorize(const UserInfo& user, const Attributes& what) const;
  // The rules that apply to the user in a namespace (SelfSubjectRulesReview; escalation check).
  std::vector<base::json::value> rules_for(const UserInfo& user, std::string_view ns) const;
  // RBAC's escalation rule: throws StatusError 403 where `rules` allow something the user may not do.
  void check_no_escalation(const UserInfo& user, std::string_view ns, const base::json::array& rules) const;
  // The same for a binding to the role: throws unless the user has the verb `bind` on it or everything it allows.
  void check_may_bind(const UserInfo& user, std::string_view ns, const base::json::value& role_ref) const;

 private:
  struct Compiled;
  const Compiled& compiled() const;
  const store::Backend& store_;
  mutable std::unique_ptr<Compiled> compiled_;
};

}  // namespace mainstay::api
