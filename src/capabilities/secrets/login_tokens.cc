#include "capabilities/secrets/login_tokens.h"

#include <algorithm>

#include "base/ids.h"
#include "base/status.h"
#include "base/strings.h"
#include "crypto/digest.h"
#include "platform/interfaces/people.h"

namespace mainstay::secrets {
namespace {
namespace resources = client::resources;

constexpr std::string_view kPrefix = "mlt_";
constexpr std::string_view kAccountPrefix = "system:serviceaccount:";
constexpr std::string_view kPodName = "authentication.kubernetes.io/pod-name",
                           kPodUid = "authentication.kubernetes.io/pod-uid";
constexpr std::size_t kMaxTokensAUser = 100;

std::unexpected<base::Error> refuse(std::string message) {
  return base::fail(base::ErrorCode::kUnauthenticated, std::move(message));
}

std::string first_extra(const api::UserInfo& user, std::string_view key) {
  const auto at = user.extra.find(std::string(key));
  return at == user.extra.end() || at->second.empty() ? "" : at->second.front();
}

}  // namespace

LoginTokens::LoginTokens(platform::Host& host)
    : host_(host),
      clock_(host.clock()),
      client_(host.client("secrets")),
      tokens_(host.caches().of(kLoginTokens)),
      accounts_(host.caches().of(resources::kServiceAccounts)),
      pods_(host.caches().of(resources::kPods)) {}

async::Task<> LoginTokens::synced() {
  for (const auto& cache : {tokens_, accounts_, pods_}) co_await cache->synced();
  tokens_->on_change([this](const client::ObjectPtr& before, const client::ObjectPtr& after) {
    if (before && !after) host_.api().recheck_streams();
  });
}

// A client that logs in again and again must not fill the store: the oldest go.
async::Task<> LoginTokens::bound_count(std::string user) {
  std::vector<std::pair<std::string, std::string>> of_user;
  for (const client::ObjectPtr& token : tokens_->list()) {
    if (base::get_string(*token, "spec.user") == user)
      of_user.emplace_back(base::get_string(*token, "spec.issuedAt"), base::get_string(*token, "metadata.name"));
  }
  if (of_user.size() < kMaxTokensAUser) co_return;
  std::ranges::sort(of_user);
  of_user.resize(of_user.size() - kMaxTokensAUser + 1);
  for (const auto& [issued, name] : of_user) co_await client_.remove(kLoginTokens, "", name);
}

async::Task<LoginTokens::Issued> LoginTokens::issue(api::UserInfo user, std::string method, std::string role) {
  co_await bound_count(user.name);
  const std::string id = base::random_hex(8), secret = base::random_hex(24);
  const base::SystemTime now = clock_.now();
  json::object spec = {{"user", user.name},
                       {"uid", user.uid},
                       {"method", method},
                       {"role", role},
                       {"hash", crypto::sha256_hex(secret)},
                       {"issuedAt", base::rfc3339(now)},
                       {"expiresAt", base::rfc3339(now + kTokenLife)},
                       {"maxExpiresAt", base::rfc3339(now + kLongestLife)}};
  if (user.name.starts_with(kAccountPrefix)) {
    const std::string rest = user.name.substr(kAccountPrefix.size());
    const auto colon = rest.find(':');
    spec["serviceAccount"] = {{"namespace", rest.substr(0, colon)}, {"name", rest.substr(colon + 1)}};
    if (const std::string pod = first_extra(user, kPodName); !pod.empty())
      spec["pod"] = {{"name", pod}, {"uid", first_extra(user, kPodUid)}};
  }
  const json::value object = {
      {"apiVersion", "mainstay.dev/v1"}, {"kind", "LoginToken"}, {"metadata", {{"name", id}}}, {"spec", spec}};
  const json::value kept = co_await client_.create(kLoginTokens, "", object);
  co_await tokens_->caught_up(base::get_string(kept, "metadata.resourceVersion"));
  co_return Issued{fmt::format("{}{}_{}", kPrefix, id, secret), std::make_shared<const json::value>(kept)};
}

std::optional<base::Result<api::UserInfo>> LoginTokens::verify(const std::string& token,
                                                               std::optional<base::SystemTime> as_of) const {
  if (!token.starts_with(kPrefix)) return std::nullopt;
  const client::ObjectPtr kept = object_of(token, as_of);
  if (!kept) return refuse("this token is not known here: it has ended or was revoked; log in again");
  return user_of(*kept);
}

client::ObjectPtr LoginTokens::object_of(const std::string& token, std::optional<base::SystemTime> as_of) const {
  const auto parts = base::split(token, '_');
  if (!token.starts_with(kPrefix) || parts.size() != 3) return nullptr;
  client::ObjectPtr kept = tokens_->get("", std::string(parts[1]));
  if (!kept || !base::constant_time_equal(crypto::sha256_hex(parts[2]), base::get_string(*kept, "spec.hash")))
    return nullptr;
  const auto expires = base::parse_rfc3339(base::get_string(*kept, "spec.expiresAt"));
  return expires && *expires > as_of.value_or(clock_.now()) ? kept : nullptr;
}

base::Result<> LoginTokens::check_account(const json::value& token) const {
  const std::string ns = base::get_string(token, "spec.serviceAccount.namespace");
  const client::ObjectPtr account = accounts_->get(ns, base::get_string(token, "spec.serviceAccount.name"));
  if (!account || base::get_string(*account, "metadata.uid") != base::get_string(token, "spec.uid"))
    return refuse("the service account of this token is gone");
  const std::string pod_name = base::get_string(token, "spec.pod.name");
  if (pod_name.empty()) return {};
  const client::ObjectPtr pod = pods_->get(ns, pod_name);
  const std::string phase = pod ? base::get_string(*pod, "status.phase") : "";
  if (!pod || base::get_string(*pod, "metadata.uid") != base::get_string(token, "spec.pod.uid") ||
      phase == "Succeeded" || phase == "Failed")
    return refuse("the pod of this token has ended");
  return {};
}

base::Result<api::UserInfo> LoginTokens::user_of(const json::value& token) const {
  const std::string name = base::get_string(token, "spec.user"), uid = base::get_string(token, "spec.uid");
  if (base::find(token, "spec.serviceAccount") != nullptr) {
    MAINSTAY_TRY_VOID(check_account(token));
    api::UserInfo account;
    account.name = name;
    account.uid = uid;
    return account;
  }
  // What teams and directories say now counts, not what they said at login.
  MAINSTAY_TRY(api::UserInfo user, host_.find<platform::People>()->person(name));
  if (user.uid != uid) return refuse("the user of this token is gone");
  return user;
}

async::Task<base::SystemTime> LoginTokens::renew(client::ObjectPtr token, std::chrono::seconds increment) {
  const auto most = base::parse_rfc3339(base::get_string(*token, "spec.maxExpiresAt"));
  if (!most) throw base::bad_request("the token is not renewable");
  const base::SystemTime until = std::min(clock_.now() + increment, *most);
  const json::value patched = co_await client_.merge_patch(kLoginTokens, "", base::get_string(*token, "metadata.name"),
                                                           {{"spec", {{"expiresAt", base::rfc3339(until)}}}});
  co_await tokens_->caught_up(base::get_string(patched, "metadata.resourceVersion"));
  co_return until;
}

async::Task<> LoginTokens::revoke(std::string name) {
  co_await client_.remove(kLoginTokens, "", name);
  for (int i = 0; i < 200 && tokens_->get("", name); ++i) co_await async::sleep_for(std::chrono::milliseconds(5));
}

reconcile::Reconcile LoginTokens::expiry() {
  struct Pass {
    static async::Task<reconcile::Outcome> run(LoginTokens& self, reconcile::Name name) {
      const client::ObjectPtr token = self.tokens_->get("", name.name);
      if (!token) co_return reconcile::Outcome::done();
      const auto expires = base::parse_rfc3339(base::get_string(*token, "spec.expiresAt"));
      const base::SystemTime now = self.clock_.now();
      if (expires && *expires > now) co_return reconcile::Outcome::after(*expires - now + std::chrono::seconds(1));
      co_await self.client_.remove(kLoginTokens, "", name.name);
      co_return reconcile::Outcome::done();
    }
  };
  return [this](reconcile::Name name) { return Pass::run(*this, std::move(name)); };
}

}  // namespace mainstay::secrets
