// LoginSession objects: browsers in which somebody is signed in, known by a cookie.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "client/cache.h"
#include "net/http.h"

namespace mainstay::identity {
namespace json = boost::json;

struct LoginSession {
  std::string id, user, user_uid;
  std::int64_t auth_time = 0;  // seconds since 1970
  std::vector<std::string> amr;
};

// Whether the User may be anybody here: neither disabled nor on the way out.
bool is_active(const json::value& user);
// The value of a cookie in a request; "" where missing.
std::string cookie(const net::Request& request, std::string_view name);

class LoginSessions {
 public:
  // __Host-: set by this very host, over TLS, for all paths; a workload on a sibling name cannot plant one.
  static constexpr std::string_view kCookie = "__Host-mainstay-session";
  LoginSessions(client::ApiClient client, client::Caches& caches, const base::Clock& clock);
  // Whose browser sent the request; nullopt: nobody's, or not any more.
  std::optional<LoginSession> find(const net::Request& request) const;
  struct Begun {
    LoginSession session;
    std::string set_cookie;  // a whole Set-Cookie value
  };
  async::Task<Begun> begin(const json::value& user, std::vector<std::string> amr, std::string provider);
  async::Task<> end(std::string id);
  async::Task<> end_all_of(std::string user);
  static std::string clear_cookie();
  std::shared_ptr<client::Cache> cache() const { return sessions_; }

 private:
  client::ApiClient client_;
  std::shared_ptr<client::Cache> sessions_, users_;
  const base::Clock& clock_;
};

}  // namespace mainstay::identity
