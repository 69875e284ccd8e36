#include "capabilities/identity/grants.h"

#include "base/encoding.h"
#include "base/ids.h"
#include "base/status.h"
#include "base/strings.h"
#include "capabilities/identity/resources.h"
#include "crypto/digest.h"

namespace mainstay::identity {
namespace {

constexpr std::string_view kRefreshPrefix = "msr";
constexpr std::size_t kMaxPendingDevices = 500;
constexpr std::chrono::seconds kPollInterval{5};

OAuthError invalid_grant(std::string why) { return OAuthError("invalid_grant", std::move(why)); }

std::string at(base::SystemTime time) { return base::rfc3339(time); }

bool passed(const json::value& grant, std::string_view path, base::SystemTime now) {
  const auto end = base::parse_rfc3339(base::get_string(grant, path));
  return !end || *end <= now;
}

// "BCDF-GHJK" however it was typed.
std::string plain_user_code(std::string_view typed) {
  std::string out;
  for (const char c : typed) {
    if (std::isalpha(static_cast<unsigned char>(c)))
      out += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  }
  return out;
}

// Eight consonants (RFC 8628 6.1): no words, nothing that reads like a digit; 34 bits, behind a limiter.
std::string make_user_code() {
  constexpr std::string_view kLetters = "BCDFGHJKLMNPQRSTVWXZ";
  std::string out;
  while (out.size() < 8) {
    unsigned char raw[16];
    base::random_bytes(raw);
    for (const unsigned char byte : raw) {
      if (byte < 240 && out.size() < 8) out += kLetters[byte % kLetters.size()];
    }
  }
  return out;
}

std::pair<std::string, std::string> id_and_secret(const std::string& text) {
  const auto dot = text.find('.');
  if (dot == std::string::npos || text.size() > 200) return {};
  return {text.substr(0, dot), text.substr(dot + 1)};
}

}  // namespace

bool has_scope(std::string_view scopes, std::string_view one) {
  const auto all = base::split(scopes, ' ');
  return std::find(all.begin(), all.end(), one) != all.end();
}

Grants::Grants(client::ApiClient client, client::Caches& caches, const base::Clock& clock, std::string mac_key)
    : client_(std::move(client)),
      grants_(caches.of(resources::kOAuthGrants)),
      clock_(clock),
      mac_key_(std::move(mac_key)) {}

async::Task<json::value> Grants::create(NewGrant grant, json::object more, std::chrono::seconds life) {
  json::object spec = {{"client", grant.client},
                       {"scope", grant.scope},
                       {"lastsBeyondSession", grant.lasts_beyond_session},
                       {"expiresAt", at(clock_.now() + life)}};
  if (!grant.client_uid.empty()) spec["clientUID"] = grant.client_uid;
  if (!grant.nonce.empty()) spec["nonce"] = grant.nonce;
  if (!grant.user.empty()) {
    spec["user"] = grant.user;
    spec["userUID"] = grant.user_uid;
    spec["session"] = grant.session;
    spec["authTime"] = grant.auth_time;
    spec["amr"] = json::value_from(grant.amr);
  }
  for (auto& [key, value] : more) spec[key] = value;
  const json::value object = {{"apiVersion", "mainstay.dev/v1"},
                              {"kind", "OAuthGrant"},
                              {"metadata", {{"name", base::random_hex(10)}}},
                              {"spec", spec}};
  json::value kept = co_await client_.create(resources::kOAuthGrants, "", object);
  co_await grants_->caught_up(base::get_string(kept, "metadata.resourceVersion"));
  co_return kept;
}

async::Task<json::value> Grants::update(json::value grant) {
  bool lost = false;
  json::value kept;
  try {
    kept = co_await client_.update(resources::kOAuthGrants, std::move(grant));
  } catch (const base::StatusError& e) {
    if (!e.is_conflict() && !e.is_not_found()) throw;
    lost = true;
  }
  // Two used the same thing at the same time: only one was first.
  if (lost) throw invalid_grant("this was used at the same moment by another request");
  co_await grants_->caught_up(base::get_string(kept, "metadata.resourceVersion"));
  co_return kept;
}

async::Task<std::string> Grants::issue_code(NewGrant grant, std::string redirect_uri, std::string challenge) {
  const std::string secret = base::random_hex(24);
  json::object code = {{"hash", crypto::sha256_hex(secret)},
                       {"redirectURI", redirect_uri},
                       {"challenge", challenge},
                       {"expiresAt", at(clock_.now() + kCodeLife)},
                       {"used", false}};
  const json::value kept = co_await create(std::move(grant), {{"code", std::move(code)}}, kCodeLife * 2);
  co_return base::get_string(kept, "metadata.name") + "." + secret;
}

// From now on the grant lives as long as what it is for.
void Grants::activate(json::value& grant) const {
  const bool offline = base::get_bool(grant, "spec.lastsBeyondSession");
  base::set(grant, "spec.expiresAt", json::value(at(clock_.now() + (offline ? kOfflineLife : kSessionLife))));
  base::set(grant, "spec.refresh", json::object{{"generation", 1}});
}

async::Task<json::value> Grants::redeem_code(std::string code, std::string client, std::string redirect_uri,
                                             std::string verifier) {
  const auto [name, secret] = id_and_secret(code);
  std::optional<json::value> grant;
  if (!name.empty()) grant = co_await client_.find(resources::kOAuthGrants, "", name);
  if (!grant || !base::constant_time_equal(base::get_string(*grant, "spec.code.hash"), crypto::sha256_hex(secret)))
    throw invalid_grant("the code is not known here, or has expired");
  if (base::get_string(*grant, "spec.client") != client) throw invalid_grant("the code was given to another client");
  std::string wrong;
  if (base::get_bool(*grant, "spec.code.used")) wrong = "the code was used before; all that came of it has ended";
  if (wrong.empty() && passed(*grant, "spec.code.expiresAt", clock_.now())) wrong = "the code has expired";
  if (wrong.empty() && base::get_string(*grant, "spec.code.redirectURI") != redirect_uri)
    wrong = "redirect_uri differs from the authorization request's";
  // RFC 7636 4.6. A wrong verifier spends the code: it is in the wrong hands.
  const bool fits = verifier.size() >= 43 && verifier.size() <= 128 &&
                    base::constant_time_equal(base::base64url(crypto::sha256_raw(verifier)),
                                              base::get_string(*grant, "spec.code.challenge"));
  if (wrong.empty() && !fits) wrong = "code_verifier does not fit the code_challenge";
  if (!wrong.empty()) {
    co_await end(name);
    throw invalid_grant(wrong);
  }
  base::set(*grant, "spec.code.used", json::value(true));
  activate(*grant);
  co_return co_await update(*std::move(grant));
}

async::Task<Grants::Device> Grants::issue_device_code(NewGrant grant) {
  std::size_t pending = 0;
  for (const client::ObjectPtr& other : grants_->list())
    pending += base::get_string(*other, "spec.device.state") == "pending" ? 1 : 0;
  if (pending >= kMaxPendingDevices) throw OAuthError("slow_down", "too many devices wait to be let in", 429);
  const std::string secret = base::random_hex(24), user_code = make_user_code();
  json::object device = {{"hash", crypto::sha256_hex(secret)},
                         {"userCode", user_code},
                         {"state", "pending"},
                         {"expiresAt", at(clock_.now() + kDeviceCodeLife)}};
  grant.lasts_beyond_session = true;
  const json::value kept = co_await create(std::move(grant), {{"device", std::move(device)}}, kDeviceCodeLife * 2);
  co_return Device{base::get_string(kept, "metadata.name") + "." + secret,
                   user_code.substr(0, 4) + "-" + user_code.substr(4)};
}

client::ObjectPtr Grants::find_user_code(std::string_view typed) const {
  const std::string code = plain_user_code(typed);
  if (code.size() != 8) return nullptr;
  for (const client::ObjectPtr& grant : grants_->list()) {
    if (base::get_string(*grant, "spec.device.state") == "pending" &&
        base::constant_time_equal(base::get_string(*grant, "spec.device.userCode"), code) &&
        !passed(*grant, "spec.device.expiresAt", clock_.now()))
      return grant;
  }
  return nullptr;
}

async::Task<> Grants::decide_device(std::string name, bool approved, NewGrant by) {
  json::value grant = co_await client_.get(resources::kOAuthGrants, "", name);
  if (base::get_string(grant, "spec.device.state") != "pending") throw invalid_grant("this code was answered before");
  base::set(grant, "spec.device.state", json::value(approved ? "approved" : "denied"));
  if (approved) {
    base::set(grant, "spec.user", json::value(by.user));
    base::set(grant, "spec.userUID", json::value(by.user_uid));
    base::set(grant, "spec.session", json::value(by.session));
    base::set(grant, "spec.authTime", json::value(by.auth_time));
    base::set(grant, "spec.amr", json::value_from(by.amr));
  }
  co_await update(std::move(grant));
}

async::Task<json::value> Grants::redeem_device(std::string device_code, std::string client) {
  const auto [name, secret] = id_and_secret(device_code);
  const client::ObjectPtr known = grants_->get("", name);
  if (!known || !base::constant_time_equal(base::get_string(*known, "spec.device.hash"), crypto::sha256_hex(secret)) ||
      base::get_string(*known, "spec.client") != client)
    throw invalid_grant("the device code is not known here, or has expired");
  const std::string state = base::get_string(*known, "spec.device.state");
  if (state == "denied") throw OAuthError("access_denied", "the user refused");
  if (state == "used") {
    co_await end(name);
    throw invalid_grant("the device code was used before; all that came of it has ended");
  }
  if (passed(*known, "spec.device.expiresAt", clock_.now()))
    throw OAuthError("expired_token", "the device code has expired: ask for another");
  if (state == "pending") {
    const auto now = clock_.now();
    if (polled_.size() > 2 * kMaxPendingDevices) polled_.clear();
    auto [last, first] = polled_.try_emplace(name, now);
    const bool early = !first && now - last->second < kPollInterval - std::chrono::seconds(1);
    last->second = now;
    if (early) throw OAuthError("slow_down", "ask every 5 seconds");
    throw OAuthError("authorization_pending", "the user has not answered yet");
  }
  polled_.erase(name);
  json::value grant = *known;
  base::set(grant, "spec.device.state", json::value("used"));
  activate(grant);
  co_return co_await update(std::move(grant));
}

std::string Grants::mac(std::string_view grant, std::int64_t generation) const {
  return base::hex(crypto::hmac_sha256(mac_key_, fmt::format("refresh:{}:{}", grant, generation)));
}

std::string Grants::refresh_token(const json::value& grant) const {
  const std::string name = base::get_string(grant, "metadata.name");
  const std::int64_t generation = base::get_int(grant, "spec.refresh.generation");
  return fmt::format("{}_{}_{}_{}", kRefreshPrefix, name, generation, mac(name, generation));
}

std::string Grants::grant_of(std::string_view token) const {
  const auto parts = base::split(token, '_');
  if (token.size() > 200 || parts.size() != 4 || parts[0] != kRefreshPrefix) return "";
  const std::int64_t generation = std::atoll(std::string(parts[2]).c_str());
  return base::constant_time_equal(mac(parts[1], generation), parts[3]) ? std::string(parts[1]) : "";
}

async::Task<json::value> Grants::rotate(std::string token, std::string client) {
  const std::string name = grant_of(token);
  if (name.empty()) throw invalid_grant("the refresh token is not known here");
  auto grant = co_await client_.find(resources::kOAuthGrants, "", name);
  if (!grant || passed(*grant, "spec.expiresAt", clock_.now()))
    throw invalid_grant("the refresh token has expired or was revoked: sign in again");
  if (base::get_string(*grant, "spec.client") != client) throw invalid_grant("the token was given to another client");
  if (refresh_token(*grant) != token) {
    co_await end(name);
    throw invalid_grant("the refresh token was used before: somebody has a copy, so all of its family have ended");
  }
  base::set(*grant, "spec.refresh.generation", json::value(base::get_int(*grant, "spec.refresh.generation") + 1));
  if (base::get_bool(*grant, "spec.lastsBeyondSession"))
    base::set(*grant, "spec.expiresAt", json::value(at(clock_.now() + kOfflineLife)));
  co_return co_await update(*std::move(grant));
}

async::Task<> Grants::end(std::string name) {
  co_await client_.remove(resources::kOAuthGrants, "", name);
  // Who asks right after must be refused: the copy that tokens are verified against follows within moments.
  for (int i = 0; i < 500 && grants_->get("", name); ++i) co_await async::sleep_for(std::chrono::milliseconds(1));
}

async::Task<> Grants::end_session(std::string session) {
  for (const client::ObjectPtr& grant : grants_->list()) {
    if (base::get_string(*grant, "spec.session") == session && !base::get_bool(*grant, "spec.lastsBeyondSession"))
      co_await end(base::get_string(*grant, "metadata.name"));
  }
}

async::Task<> Grants::end_all_of(std::string user) {
  for (const client::ObjectPtr& grant : grants_->list()) {
    if (base::get_string(*grant, "spec.user") == user) co_await end(base::get_string(*grant, "metadata.name"));
  }
}

bool Grants::consented(std::string_view user, const std::string& client, std::string_view uid,
                       std::string_view scope) const {
  for (const client::ObjectPtr& grant : grants_->list()) {
    if (base::get_string(*grant, "spec.user") != user || base::get_string(*grant, "spec.client") != client ||
        base::get_string(*grant, "spec.clientUID") != uid || base::find(*grant, "spec.refresh") == nullptr)
      continue;
    const std::string given = base::get_string(*grant, "spec.scope");
    const auto asked = base::split(scope, ' ');
    if (std::all_of(asked.begin(), asked.end(), [&](std::string_view one) { return has_scope(given, one); }))
      return true;
  }
  return false;
}

}  // namespace mainstay::identity
