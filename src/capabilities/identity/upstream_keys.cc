#include "capabilities/identity/upstream_keys.h"

#include "base/log.h"
#include "capabilities/identity/upstream_http.h"

namespace mainstay::identity {
namespace {

constexpr std::chrono::minutes kKeep{10};
constexpr int kFetchesAMinute = 5;

}  // namespace

async::Task<std::shared_ptr<UpstreamKeys::Kept>> UpstreamKeys::keys_of(async::Executor executor, std::string name,
                                                                       UpstreamEndpoints at, bool anew) {
  const base::SteadyTime now = clock_.steady();
  std::shared_ptr<Kept> before;
  if (const auto found = kept_.find(name); found != kept_.end() && found->second->url == at.keys)
    before = found->second;
  if (before && !anew && now - before->fetched < kKeep) co_return before;
  auto fresh = std::make_shared<Kept>();
  fresh->url = at.keys;
  fresh->fetched = now;
  const bool same_minute = before && now - before->minute < std::chrono::minutes(1);
  fresh->minute = same_minute ? before->minute : now;
  fresh->fetches = same_minute ? before->fetches + 1 : 1;
  if (fresh->fetches > kFetchesAMinute) co_return before;
  const json::value set = co_await ask_upstream(executor, name, at.keys, at.ca_pem, {}, "");
  auto keys = crypto::IssuerKeys::parse(json::serialize(set));
  if (!keys) throw upstream_trouble(name, "its keys (jwks_uri): " + keys.error().message);
  fresh->keys = *std::move(keys);
  // As many as there are IdentityProviders; those of deleted ones are small and go with the process.
  kept_[name] = fresh;
  co_return fresh;
}

async::Task<json::object> UpstreamKeys::verify(async::Executor executor, std::string name, UpstreamEndpoints at,
                                               std::string token) {
  for (const bool anew : {false, true}) {
    const auto keys = co_await keys_of(executor, name, at, anew);
    auto claims = keys->keys.verify(token);
    if (claims) co_return *std::move(claims);
    if (claims.error().code == base::ErrorCode::kNotFound && !anew) continue;
    base::log::warn("identity", "identity provider {}: id_token refused: {}", name, claims.error().message);
    throw base::forbidden(fmt::format("identity provider {}: {}", name, claims.error().message));
  }
  throw base::internal_error("unreachable");
}

}  // namespace mainstay::identity
