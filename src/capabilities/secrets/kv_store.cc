#include "capabilities/secrets/kv_store.h"

#include "base/encoding.h"
#include "base/status.h"

namespace mainstay::secrets {
namespace {

constexpr int kAttempts = 20;                // where others write the same secret
constexpr std::size_t kMaxEntry = 2u << 20;  // sealed, all versions: an object has at most 3 MiB
constexpr std::size_t kMaxSecretsATeam = 10'000;

std::size_t sealed_size(const json::value& entry) {
  std::size_t size = 0;
  for (const json::value& version : base::get_array(entry, "spec.versions"))
    size += base::get_string(version, "sealed").size();
  return size;
}

base::StatusError no_room(std::string message) { return {507, "InsufficientStorage", std::move(message)}; }

void check_size(const json::value& entry) {
  if (sealed_size(entry) <= kMaxEntry) return;
  throw no_room(
      fmt::format("the versions of this secret would together be larger than {} bytes: destroy old ones, or "
                  "keep fewer (max_versions)",
                  kMaxEntry));
}

}  // namespace

KvStore::KvStore(platform::Host& host)
    : sealer_(host.sealer()),
      clock_(host.clock()),
      client_(host.client("secrets")),
      entries_(host.caches().of(kSecretEntries)),
      namespaces_(host.caches().of(client::resources::kNamespaces)) {}

bool KvStore::team_exists(const std::string& team) const {
  const client::ObjectPtr ns = namespaces_->get("", team);
  return ns && base::label(*ns, "mainstay.dev/team") == team;
}

client::ObjectPtr KvStore::find(const KvPath& path) const {
  client::ObjectPtr entry = entries_->get(path.team, entry_name(path.path));
  return entry && base::get_string(*entry, "spec.path") == path.path ? entry : nullptr;
}

std::vector<std::string> KvStore::paths(const std::string& team) const {
  std::vector<std::string> out;
  for (const client::ObjectPtr& entry : entries_->list(team)) out.push_back(base::get_string(*entry, "spec.path"));
  return out;
}

std::vector<std::string> KvStore::teams() const {
  std::vector<std::string> out;
  for (const client::ObjectPtr& ns : namespaces_->list()) {
    const std::string name = base::get_string(*ns, "metadata.name");
    if (base::label(*ns, "mainstay.dev/team") == name) out.push_back(name);
  }
  return out;
}

base::Result<json::object> KvStore::open(const KvPath& path, const json::value& version) const {
  MAINSTAY_TRY(const std::string sealed, base::base64_decode(base::get_string(version, "sealed")));
  MAINSTAY_TRY(const std::string plain, sealer_.unseal(sealed, seal_context(path, base::get_int(version, "version"))));
  MAINSTAY_TRY(json::value data, base::parse_json(plain));
  if (!data.is_object()) return base::fail(base::ErrorCode::kInvalid, "the value is damaged");
  return std::move(data.as_object());
}

std::string KvStore::seal(const KvPath& path, std::int64_t version, const json::object& data) const {
  return base::base64(sealer_.seal(json::serialize(data), seal_context(path, version)));
}

// Reads the truth, changes it, and writes it where nobody else did meanwhile; else once more. One object holds all
// versions, so a write is there whole or not at all.
async::Task<KvStore::Written> KvStore::edit(KvPath path, bool create, Edit edit) {
  if (!team_exists(path.team)) throw base::StatusError(404, "NotFound", fmt::format("there is no team {}", path.team));
  for (int attempt = 1;; ++attempt) {
    std::optional<json::value> entry = co_await client_.find(kSecretEntries, path.team, entry_name(path.path));
    const bool fresh = !entry;
    if (fresh && !create) throw base::StatusError(404, "NotFound", "");
    if (fresh && entries_->list(path.team).size() >= kMaxSecretsATeam)
      throw no_room(fmt::format("the team has {} secrets already, the most there may be", kMaxSecretsATeam));
    if (fresh) entry = new_entry(path, clock_.now());
    Written out;
    out.version = edit(*entry);
    check_size(*entry);
    try {
      // Not in a conditional expression: both awaits would be made.
      if (fresh)
        out.entry = co_await client_.create(kSecretEntries, path.team, *entry);
      else
        out.entry = co_await client_.update(kSecretEntries, *entry);
    } catch (const base::StatusError& e) {
      if (attempt >= kAttempts || (!e.is_conflict() && !e.is_already_exists() && !e.is_not_found())) throw;
      continue;
    }
    co_await entries_->caught_up(base::get_string(out.entry, "metadata.resourceVersion"));
    co_return out;
  }
}

async::Task<KvStore::Written> KvStore::write(KvPath path, WriteBody body, std::string by) {
  const auto add = [this, &path, &body, &by](json::value& entry) {
    if (auto fits = check_cas(entry, body.cas); !fits) throw base::bad_request(fits.error().message);
    return add_version(entry, seal(path, current_version(entry) + 1, body.data), by, clock_.now());
  };
  co_return co_await edit(path, true, add);
}

async::Task<KvStore::Written> KvStore::merge(KvPath path, WriteBody body, std::string by) {
  const auto add = [this, &path, &body, &by](json::value& entry) {
    const json::value* newest = find_version(entry, 0);
    if (newest == nullptr || !readable(*newest)) throw base::StatusError(404, "NotFound", "");
    if (auto fits = check_cas(entry, body.cas); !fits) throw base::bad_request(fits.error().message);
    auto opened = open(path, *newest);
    if (!opened) throw base::internal_error(opened.error().message);
    json::value merged = *std::move(opened);
    base::apply_merge_patch(merged, body.data);
    if (json::serialize(merged).size() > kMaxValue)
      throw base::too_large(fmt::format("data: larger than {} bytes when merged", kMaxValue));
    return add_version(entry, seal(path, current_version(entry) + 1, merged.as_object()), by, clock_.now());
  };
  co_return co_await edit(path, false, add);
}

async::Task<> KvStore::change(KvPath path, std::function<void(json::value&)> change, bool create) {
  const auto apply = [&change](json::value& entry) {
    change(entry);
    return current_version(entry);
  };
  co_await edit(path, create, apply);
}

async::Task<> KvStore::remove(KvPath path) {
  const client::ObjectPtr entry = find(path);
  if (!entry) co_return;
  co_await client_.remove(kSecretEntries, path.team, entry_name(path.path));
  // The copy follows in a moment; whoever reads next must not see it any more.
  for (int i = 0; i < 200 && find(path); ++i) co_await async::sleep_for(std::chrono::milliseconds(5));
}

async::Task<base::Result<std::size_t>> KvStore::rewrap() {
  std::size_t done = 0;
  for (const client::ObjectPtr& entry : entries_->list()) {
    const KvPath path{base::get_string(*entry, "metadata.namespace"), base::get_string(*entry, "spec.path")};
    std::size_t stale = 0;
    std::string failure;
    const auto wrap = [this, &path, &stale, &failure](json::value& object) {
      stale = 0;
      json::value* versions = base::find(object, "spec.versions");
      if (versions == nullptr || !versions->is_array()) return current_version(object);
      for (json::value& version : versions->as_array()) {
        const auto sealed = base::base64_decode(base::get_string(version, "sealed"));
        if (!sealed || sealed->empty() || sealer_.is_current(*sealed)) continue;
        auto wrapped = sealer_.rewrap(*sealed, seal_context(path, base::get_int(version, "version")));
        if (!wrapped) {
          failure = fmt::format("{}: {}", path.to_string(), wrapped.error().message);
          continue;
        }
        base::set(version, "sealed", json::string(base::base64(*wrapped)));
        ++stale;
      }
      return current_version(object);
    };
    json::value copy = *entry;
    wrap(copy);
    if (!failure.empty()) co_return base::fail(base::ErrorCode::kInvalid, failure);
    if (stale == 0) continue;
    try {
      co_await edit(path, false, wrap);
      done += stale;
    } catch (const base::StatusError& e) {
      if (!e.is_not_found()) co_return base::fail(base::ErrorCode::kUnavailable, e.message());
    }
  }
  co_return done;
}

}  // namespace mainstay::secrets
