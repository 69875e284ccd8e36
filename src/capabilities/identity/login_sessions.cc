#include "capabilities/identity/login_sessions.h"

#include "base/ids.h"
#include "base/strings.h"
#include "capabilities/identity/grants.h"
#include "capabilities/identity/resources.h"
#include "crypto/digest.h"

namespace mainstay::identity {

bool is_active(const json::value& user) {
  return !base::get_bool(user, "spec.disabled") && base::get_string(user, "metadata.deletionTimestamp").empty();
}

std::string cookie(const net::Request& request, std::string_view name) {
  for (const auto& [header, value] : request.headers.all()) {
    if (!base::iequals(header, "Cookie")) continue;
    for (const std::string_view raw : base::split(value, ';')) {
      const std::string_view one = base::trim(raw);
      if (one.size() > name.size() && one.starts_with(name) && one[name.size()] == '=')
        return std::string(one.substr(name.size() + 1));
    }
  }
  return "";
}

LoginSessions::LoginSessions(client::ApiClient client, client::Caches& caches, const base::Clock& clock)
    : client_(std::move(client)),
      sessions_(caches.of(resources::kLoginSessions)),
      users_(caches.of(resources::kUsers)),
      clock_(clock) {}

std::optional<LoginSession> LoginSessions::find(const net::Request& request) const {
  const std::string value = cookie(request, kCookie);
  const auto dot = value.find('.');
  if (value.size() > 200 || dot == std::string::npos) return std::nullopt;
  const client::ObjectPtr kept = sessions_->get("", value.substr(0, dot));
  if (!kept ||
      !base::constant_time_equal(base::get_string(*kept, "spec.hash"), crypto::sha256_hex(value.substr(dot + 1))))
    return std::nullopt;
  const auto expires = base::parse_rfc3339(base::get_string(*kept, "spec.expiresAt"));
  if (!expires || *expires <= clock_.now()) return std::nullopt;
  LoginSession session;
  session.id = value.substr(0, dot);
  session.user = base::get_string(*kept, "spec.user");
  session.user_uid = base::get_string(*kept, "spec.userUID");
  session.auth_time = base::get_int(*kept, "spec.authTime");
  for (const json::value& one : base::get_array(*kept, "spec.amr")) session.amr.emplace_back(one.as_string());
  const client::ObjectPtr user = users_->get("", session.user);
  if (!user || !is_active(*user) || base::get_string(*user, "metadata.uid") != session.user_uid) return std::nullopt;
  return session;
}

async::Task<LoginSessions::Begun> LoginSessions::begin(const json::value& user, std::vector<std::string> amr,
                                                       std::string provider) {
  Begun begun;
  begun.session.user = base::get_string(user, "metadata.name");
  begun.session.user_uid = base::get_string(user, "metadata.uid");
  begun.session.amr = std::move(amr);
  begun.session.auth_time = std::chrono::duration_cast<std::chrono::seconds>(clock_.now().time_since_epoch()).count();
  begun.session.id = base::random_hex(10);
  const std::string secret = base::random_hex(24);
  const json::value object = {{"apiVersion", "mainstay.dev/v1"},
                              {"kind", "LoginSession"},
                              {"metadata", {{"name", begun.session.id}}},
                              {"spec",
                               {{"user", begun.session.user},
                                {"userUID", begun.session.user_uid},
                                {"hash", crypto::sha256_hex(secret)},
                                {"authTime", begun.session.auth_time},
                                {"amr", json::value_from(begun.session.amr)},
                                {"provider", provider},
                                {"expiresAt", base::rfc3339(clock_.now() + kSessionLife)}}}};
  const json::value kept = co_await client_.create(resources::kLoginSessions, "", object);
  co_await sessions_->caught_up(base::get_string(kept, "metadata.resourceVersion"));
  begun.set_cookie = fmt::format("{}={}.{}; Path=/; Max-Age={}; Secure; HttpOnly; SameSite=Lax", kCookie,
                                 begun.session.id, secret, std::chrono::seconds(kSessionLife).count());
  co_return begun;
}

async::Task<> LoginSessions::end(std::string id) { co_await client_.remove(resources::kLoginSessions, "", id); }

async::Task<> LoginSessions::end_all_of(std::string user) {
  for (const client::ObjectPtr& session : sessions_->list()) {
    if (base::get_string(*session, "spec.user") == user) co_await end(base::get_string(*session, "metadata.name"));
  }
}

std::string LoginSessions::clear_cookie() {
  return fmt::format("{}=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax", kCookie);
}

}  // namespace mainstay::identity
