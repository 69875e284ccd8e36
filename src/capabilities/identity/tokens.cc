#include "capabilities/identity/tokens.h"

#include "base/ids.h"
#include "base/strings.h"
#include "capabilities/identity/login_sessions.h"
#include "capabilities/identity/resources.h"
#include "capabilities/identity/team_reconcile.h"
#include "crypto/digest.h"
#include "crypto/jwt.h"

namespace mainstay::identity {
namespace {

constexpr std::string_view kPersonalPrefix = "mst_";

std::unexpected<base::Error> refuse(std::string message) {
  return base::fail(base::ErrorCode::kUnauthenticated, std::move(message));
}

std::int64_t seconds(base::SystemTime time) {
  return std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
}

bool finished(const json::value& pod) {
  const std::string phase = base::get_string(pod, "status.phase");
  return phase == "Succeeded" || phase == "Failed";
}

}  // namespace

json::object service_account_claims(const ServiceAccountToken& t, const std::string& issuer, base::SystemTime now) {
  json::object bound = {{"namespace", t.ns}, {"serviceaccount", {{"name", t.account}, {"uid", t.account_uid}}}};
  if (!t.pod.empty()) bound["pod"] = {{"name", t.pod}, {"uid", t.pod_uid}};
  json::array audiences;
  for (const std::string& audience : t.audiences) audiences.emplace_back(audience);
  json::object claims = {{"iss", issuer},
                         {"sub", fmt::format("system:serviceaccount:{}:{}", t.ns, t.account)},
                         {"aud", std::move(audiences)},
                         {"iat", seconds(now)},
                         {"nbf", seconds(now)},
                         {"exp", seconds(now + t.lifetime)},
                         {"jti", base::uuid4()},
                         {"kubernetes.io", std::move(bound)}};
  if (!t.workflow_run.empty()) claims[kWorkflowRunExtra] = t.workflow_run;
  return claims;
}

PersonalToken make_personal_token() {
  PersonalToken token;
  token.id = base::random_hex(8);
  const std::string secret = base::random_hex(24);
  token.text = fmt::format("{}{}_{}", kPersonalPrefix, token.id, secret);
  token.hash = crypto::sha256_hex(secret);
  return token;
}

TokenVerifier::TokenVerifier(std::shared_ptr<const KeyRing> keys, std::string issuer,
                             std::vector<std::string> audiences, client::Caches& caches, const base::Clock& clock,
                             std::function<void()> ended)
    : keys_(std::move(keys)),
      issuer_(std::move(issuer)),
      audiences_(std::move(audiences)),
      clock_(clock),
      users_(caches.of(resources::kUsers)),
      teams_(caches.of(resources::kTeams)),
      tokens_(caches.of(resources::kAccessTokens)),
      accounts_(caches.of(resources::kServiceAccounts)),
      pods_(caches.of(resources::kPods)),
      grants_(caches.of(resources::kOAuthGrants)),
      clients_(caches.of(resources::kOAuthClients)) {
  const auto forget = [this, ended = std::move(ended)] {
    known_.clear();
    ended();
  };
  // What is new ends nothing, and nobody was remembered by it.
  for (const auto& cache : {users_, tokens_, accounts_, clients_}) {
    cache->on_change([forget](const client::ObjectPtr& before, const client::ObjectPtr&) {
      if (before) forget();
    });
  }
  teams_->on_change([forget](const client::ObjectPtr&, const client::ObjectPtr&) { forget(); });
  grants_->on_change([forget](const client::ObjectPtr&, const client::ObjectPtr& after) {
    if (!after) forget();  // a change of one ends nothing
  });
  // Pods change often; only an end of one can end a token.
  pods_->on_change([forget](const client::ObjectPtr& before, const client::ObjectPtr& after) {
    if (before && (!after || finished(*after))) forget();
  });
}

async::Task<> TokenVerifier::synced() const {
  for (const auto& cache : {users_, teams_, tokens_, accounts_, pods_, grants_, clients_}) co_await cache->synced();
}

std::optional<base::Result<api::UserInfo>> TokenVerifier::verify(const std::string& token,
                                                                 std::optional<base::SystemTime> as_of) {
  if (token.size() > 16 * 1024) return refuse("the token is longer than any of ours");
  const base::SystemTime now = as_of.value_or(clock_.now());
  const std::string digest = crypto::sha256_raw(token);
  if (const auto it = known_.find(digest); it != known_.end()) {
    if (it->second.expires > now) return it->second.user;
    known_.erase(it);
  }
  std::optional<Known> known = look_up(token, now);
  if (!known) return std::nullopt;
  if (known->user) remember(digest, *known);
  return known->user;
}

std::optional<TokenVerifier::Known> TokenVerifier::look_up(const std::string& token, base::SystemTime now) const {
  if (token.starts_with(kPersonalPrefix)) return verify_personal(token, now);
  if (std::count(token.begin(), token.end(), '.') == 2) return verify_signed(token, now);
  return std::nullopt;
}

void TokenVerifier::remember(const std::string& token_digest, const Known& known) {
  if (known_.size() >= kMaxKnown) known_.clear();
  known_.emplace(token_digest, known);
}

TokenVerifier::Known TokenVerifier::verify_personal(const std::string& token, base::SystemTime now) const {
  const auto parts = base::split(token, '_');
  if (parts.size() != 3) return {refuse("this is not a whole access token"), {}};
  const client::ObjectPtr kept = tokens_->get("", std::string(parts[1]));
  if (!kept) return {refuse("this access token is not known here; it was revoked or belongs to another platform"), {}};
  if (!base::constant_time_equal(crypto::sha256_hex(parts[2]), base::get_string(*kept, "spec.hash")))
    return {refuse("this access token is not known here; it was revoked or belongs to another platform"), {}};
  const auto expires = base::parse_rfc3339(base::get_string(*kept, "spec.expiresAt"));
  if (!expires || *expires <= now)
    return {refuse("this access token has expired; make another with mainstay user token"), {}};
  return {user_info(users_->get("", base::get_string(*kept, "spec.user")), teams_->list()), *expires};
}

std::vector<std::string> groups_of_user(const json::value& user, const std::vector<client::ObjectPtr>& teams) {
  std::vector<std::string> groups = team_groups(teams, base::get_string(user, "metadata.name"));
  for (const json::value& group : base::get_array(user, "status.federated.groups")) {
    const std::string name(group.is_string() ? std::string_view(group.as_string()) : "");
    if (name.starts_with("team:") && std::find(groups.begin(), groups.end(), name) == groups.end())
      groups.push_back(name);
  }
  if (base::get_bool(user, "spec.admin")) groups.emplace_back(api::kAdminGroup);
  return groups;
}

base::Result<api::UserInfo> user_info(const client::ObjectPtr& user, const std::vector<client::ObjectPtr>& teams) {
  if (!user || !is_active(*user)) return refuse("the user of this token is disabled or gone");
  api::UserInfo info;
  info.name = base::get_string(*user, "metadata.name");
  info.uid = base::get_string(*user, "metadata.uid");
  info.groups = groups_of_user(*user, teams);
  info.groups.emplace_back("system:authenticated");
  return info;
}

TokenVerifier::Known TokenVerifier::verify_access(const json::value& claims) const {
  const client::ObjectPtr grant = grants_->get("", base::get_string(claims, "grant"));
  if (!grant) return {refuse("the sign-in of this token has ended: sign in again"), {}};
  auto user = user_info(users_->get("", base::get_string(*grant, "spec.user")), teams_->list());
  if (user && user->uid != base::get_string(claims, "sub")) user = refuse("the user of this token is gone");
  if (user) user->extra["mainstay.dev/oauth-client"] = {base::get_string(claims, "client_id")};
  return {std::move(user), base::SystemTime{std::chrono::seconds(base::get_int(claims, "exp"))}};
}

TokenVerifier::Known TokenVerifier::verify_signed(const std::string& token, base::SystemTime now) const {
  const auto claims = crypto::verify_jwt(token, keys_->all(), {issuer_, audiences_}, now);
  if (!claims) return {std::unexpected(claims.error()), {}};
  const json::value& all = *claims;
  const json::value* bound = base::find(all, {"kubernetes.io"});
  if (bound == nullptr) return verify_access(all);
  const std::string ns = base::get_string(*bound, "namespace"),
                    account = base::get_string(*bound, "serviceaccount.name");
  const client::ObjectPtr present = accounts_->get(ns, account);
  if (!present || base::get_string(*present, "metadata.uid") != base::get_string(*bound, "serviceaccount.uid"))
    return {refuse(fmt::format("the service account {}/{} of this token is gone", ns, account)), {}};
  // Of an application's own token: it ends with the application.
  if (const std::string app = base::get_string(all, "client_uid"); !app.empty()) {
    const std::string id = base::get_string(all, "client_id");
    const client::ObjectPtr object = clients_->get(ns, id.substr(std::min(id.size(), ns.size() + 1)));
    if (!object || base::get_string(*object, "metadata.uid") != app)
      return {refuse("the application of this token is gone"), {}};
  }
  api::UserInfo info;
  info.name = fmt::format("system:serviceaccount:{}:{}", ns, account);
  info.uid = base::get_string(*present, "metadata.uid");
  info.groups = {"system:serviceaccounts", "system:serviceaccounts:" + ns, "system:authenticated"};
  if (const std::string pod = base::get_string(*bound, "pod.name"); !pod.empty()) {
    const client::ObjectPtr running = pods_->get(ns, pod);
    if (!running || base::get_string(*running, "metadata.uid") != base::get_string(*bound, "pod.uid") ||
        finished(*running))
      return {refuse(fmt::format("the pod {}/{} of this token has ended", ns, pod)), {}};
    info.extra["authentication.kubernetes.io/pod-name"] = {pod};
    info.extra["authentication.kubernetes.io/pod-uid"] = {base::get_string(*bound, "pod.uid")};
  }
  if (const json::value* run = base::find(all, {kWorkflowRunExtra}); run != nullptr && run->is_string())
    info.extra[std::string(kWorkflowRunExtra)] = {std::string(run->as_string())};
  const base::SystemTime expires{std::chrono::seconds(base::get_int(all, "exp"))};
  return {std::move(info), expires};
}

}  // namespace mainstay::identity
