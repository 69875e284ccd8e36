#include "capabilities/identity/tokens.h"

#include "base/files.h"
#include "base/ids.h"
#include "base/strings.h"
#include "capabilities/identity/team_reconcile.h"
#include "crypto/digest.h"
#include "crypto/jwt.h"

namespace mainstay::identity {
namespace fs = std::filesystem;
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

base::Result<std::vector<crypto::PrivateKey>> open_signing_keys(const fs::path& folder) {
  MAINSTAY_TRY_VOID(base::make_directories(folder, 0700));
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename();
    if (name.starts_with("token-") && name.ends_with(".key")) files.push_back(entry.path());
  }
  if (files.empty()) {
    files.push_back(folder / "token-0001.key");
    MAINSTAY_TRY_VOID(base::write_file(files[0], crypto::PrivateKey::generate().to_pem(), 0600));
  }
  std::sort(files.rbegin(), files.rend());
  std::vector<crypto::PrivateKey> keys;
  for (const fs::path& file : files) {
    MAINSTAY_TRY(std::string pem, base::read_file(file, 1u << 16));
    MAINSTAY_TRY(crypto::PrivateKey key, crypto::PrivateKey::from_pem(pem));
    keys.push_back(std::move(key));
  }
  return keys;
}

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

TokenVerifier::TokenVerifier(std::vector<crypto::PrivateKey> keys, std::string issuer,
                             std::vector<std::string> audiences, client::Caches& caches, const base::Clock& clock)
    : keys_(std::move(keys)),
      issuer_(std::move(issuer)),
      audiences_(std::move(audiences)),
      clock_(clock),
      users_(caches.of(client::resources::kUsers)),
      teams_(caches.of(client::resources::kTeams)),
      tokens_(caches.of(client::resources::kAccessTokens)),
      accounts_(caches.of(client::resources::kServiceAccounts)),
      pods_(caches.of(client::resources::kPods)) {
  const auto forget = [this](const client::ObjectPtr&, const client::ObjectPtr&) { known_.clear(); };
  for (const auto& cache : {users_, teams_, tokens_, accounts_}) cache->on_change(forget);
  // Pods change often; only an end of one can end a token.
  pods_->on_change([this](const client::ObjectPtr& before, const client::ObjectPtr& after) {
    if (before && (!after || finished(*after))) known_.clear();
  });
}

async::Task<> TokenVerifier::synced() const {
  for (const auto& cache : {users_, teams_, tokens_, accounts_, pods_}) co_await cache->synced();
}

std::optional<base::Result<api::UserInfo>> TokenVerifier::verify(const std::string& token) {
  if (token.size() > 16 * 1024) return refuse("the token is longer than any of ours");
  const std::string digest = crypto::sha256_raw(token);
  if (const auto it = known_.find(digest); it != known_.end()) {
    if (it->second.expires > clock_.now()) return it->second.user;
    known_.erase(it);
  }
  std::optional<Known> known = look_up(token);
  if (!known) return std::nullopt;
  if (known->user) remember(digest, *known);
  return known->user;
}

std::optional<TokenVerifier::Known> TokenVerifier::look_up(const std::string& token) const {
  if (token.starts_with(kPersonalPrefix)) return verify_personal(token);
  if (std::count(token.begin(), token.end(), '.') == 2) return verify_signed(token);
  return std::nullopt;
}

void TokenVerifier::remember(const std::string& token_digest, const Known& known) {
  if (known_.size() >= kMaxKnown) known_.clear();
  known_.emplace(token_digest, known);
}

TokenVerifier::Known TokenVerifier::verify_personal(const std::string& token) const {
  const auto parts = base::split(token, '_');
  if (parts.size() != 3) return {refuse("this is not a whole access token"), {}};
  const client::ObjectPtr kept = tokens_->get("", std::string(parts[1]));
  if (!kept) return {refuse("this access token is not known here; it was revoked or belongs to another platform"), {}};
  if (!base::constant_time_equal(crypto::sha256_hex(parts[2]), base::get_string(*kept, "spec.hash")))
    return {refuse("this access token is not known here; it was revoked or belongs to another platform"), {}};
  const auto expires = base::parse_rfc3339(base::get_string(*kept, "spec.expiresAt"));
  if (!expires || *expires <= clock_.now())
    return {refuse("this access token has expired; make another with mainstay user token"), {}};
  return {user_info(base::get_string(*kept, "spec.user")), *expires};
}

base::Result<api::UserInfo> TokenVerifier::user_info(const std::string& name) const {
  const client::ObjectPtr user = users_->get("", name);
  if (!user || base::get_bool(*user, "spec.disabled")) return refuse("the user of this token is disabled or gone");
  api::UserInfo info;
  info.name = name;
  info.uid = base::get_string(*user, "metadata.uid");
  info.groups = team_groups(teams_->list(), name);
  if (base::get_bool(*user, "spec.admin")) info.groups.emplace_back(api::kAdminGroup);
  info.groups.emplace_back("system:authenticated");
  return info;
}

TokenVerifier::Known TokenVerifier::verify_signed(const std::string& token) const {
  const auto claims = crypto::verify_jwt(token, keys_, {issuer_, audiences_}, clock_.now());
  if (!claims) return {std::unexpected(claims.error()), {}};
  const json::value& all = *claims;
  const json::value* bound = base::find(all, {"kubernetes.io"});
  if (bound == nullptr) return {refuse("the token names no service account"), {}};
  const std::string ns = base::get_string(*bound, "namespace"),
                    account = base::get_string(*bound, "serviceaccount.name");
  const client::ObjectPtr present = accounts_->get(ns, account);
  if (!present || base::get_string(*present, "metadata.uid") != base::get_string(*bound, "serviceaccount.uid"))
    return {refuse(fmt::format("the service account {}/{} of this token is gone", ns, account)), {}};
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
