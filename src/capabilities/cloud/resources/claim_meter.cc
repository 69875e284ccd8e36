#include "capabilities/cloud/resources/claim_meter.h"

#include <sys/stat.h>

#include <algorithm>
#include <set>

#include "base/log.h"
#include "base/quantity.h"
#include "base/status.h"

namespace mainstay::cloud {
namespace fs = std::filesystem;
namespace {

const client::Resource kVolumeClaims{"", "v1", "persistentvolumeclaims", true, "PersistentVolumeClaim"};
constexpr std::chrono::seconds kEvery{15};
constexpr std::size_t kMostEntries = 1'000'000;
constexpr const char* kOver = "OverCapacity";

reconcile::Name name_of(const json::value& object) {
  return {base::get_string(object, "metadata.namespace"), base::get_string(object, "metadata.name")};
}

// What is no longer there has no figures.
template <class Map>
void forget_missing(Map& figures, const std::vector<client::ObjectPtr>& present) {
  std::set<reconcile::Name> names;
  for (const client::ObjectPtr& object : present) names.insert(name_of(*object));
  std::erase_if(figures, [&](const auto& entry) { return !names.contains(entry.first); });
}

std::string shown(std::uint64_t bytes) {
  return base::format_bytes(base::coarse(static_cast<std::int64_t>(bytes), 64 << 10));
}

// Of a claim's status.
json::object shown_of(std::uint64_t used, std::uint64_t limit, const std::optional<platform::RecoveryWindow>& window) {
  json::object usage{{"size", shown(used)}};
  if (limit > 0) usage["limit"] = base::format_bytes(static_cast<std::int64_t>(limit));
  json::object out{{"usage", std::move(usage)}};
  if (window) {
    json::object span{{"earliest", base::rfc3339(window->earliest)}};
    if (window->latest) span["latest"] = base::rfc3339(*window->latest);
    out["pointInTime"] = std::move(span);
  }
  return out;
}

}  // namespace

std::uint64_t bytes_below(const fs::path& folder) {
  std::uint64_t sum = 0;
  std::error_code error;
  std::size_t left = kMostEntries;
  for (fs::recursive_directory_iterator at(folder, fs::directory_options::skip_permission_denied, error), end;
       !error && at != end && left-- > 0; at.increment(error)) {
    struct stat info{};
    if (::lstat(at->path().c_str(), &info) == 0) sum += static_cast<std::uint64_t>(info.st_blocks) * 512;
  }
  return sum;
}

ClaimMeter::ClaimMeter(platform::Host& host, std::shared_ptr<ClaimReconciler> claims)
    : host_(host), client_(host.client("cloud")), claims_(std::move(claims)) {}

async::Task<> ClaimMeter::run(std::shared_ptr<ClaimMeter> self) {
  for (;;) {
    std::string wrong;
    try {
      co_await self->measure_volumes();
      co_await self->measure_claims();
    } catch (const base::StatusError& error) {
      wrong = error.message();
    }
    if (!wrong.empty()) base::log::warn("cloud", "claims cannot be measured: {}", wrong);
    co_await async::sleep_for(kEvery);
  }
}

std::vector<platform::ClaimFigures> ClaimMeter::claims() const {
  std::vector<platform::ClaimFigures> out;
  for (const auto& [name, figures] : claim_figures_) out.push_back(figures);
  return out;
}

std::vector<platform::VolumeFigures> ClaimMeter::volumes() const {
  std::vector<platform::VolumeFigures> out;
  for (const auto& [name, figures] : volume_figures_) out.push_back(figures);
  return out;
}

// What is too big is said where its owner looks: a condition, and an Event when it begins.
async::Task<> ClaimMeter::judge(client::Resource resource, client::ObjectPtr object, std::uint64_t used,
                                std::uint64_t limit, json::object status) {
  const bool over = limit > 0 && used > limit;
  reconcile::Pass pass(client_, resource, object);
  const bool was = reconcile::condition_true(*object, kOver);
  const std::string how = fmt::format("{} of {}", shown(used), base::format_bytes(static_cast<std::int64_t>(limit)));
  if (over && !was)
    pass.set_condition(kOver, true, "TooBig", how + " is used: delete what is not needed, or ask for more",
                       host_.clock());
  if (!over && reconcile::find_condition(*object, kOver) != nullptr && was)
    pass.set_condition(kOver, false, "Fits", how + " is used", host_.clock());
  for (auto& field : status)
    base::set(pass.object(), fmt::format("status.{}", std::string_view(field.key())), field.value());
  co_await pass.commit();
  if (over && !was) co_await client_.event(*object, "Warning", kOver, how + " is used");
}

async::Task<> ClaimMeter::measure_volumes() {
  const auto all = host_.caches().of(kVolumeClaims)->list();
  for (const client::ObjectPtr& volume : all) {
    if (base::get_string(*volume, "status.phase") != "Bound") continue;
    const reconcile::Name name = name_of(*volume);
    platform::VolumeFigures figures{name.ns, name.name};
    figures.used_bytes = co_await host_.runtime().blocking(
        [where = host_.config().dir("volumes") / base::get_string(*volume, "metadata.uid")] {
          return bytes_below(where);
        });
    figures.capacity_bytes = static_cast<std::uint64_t>(std::max<std::int64_t>(
        base::parse_quantity(base::get_string(*volume, "spec.resources.requests.storage")).value_or(0), 0));
    volume_figures_[name] = figures;
    co_await judge(kVolumeClaims, volume, figures.used_bytes, figures.capacity_bytes, {});
  }
  forget_missing(volume_figures_, all);
}

async::Task<> ClaimMeter::measure_claim(client::ObjectPtr claim) {
  const reconcile::Name name = name_of(*claim);
  std::optional<platform::RecoveryWindow> window;
  platform::ClaimFigures figures{name.ns, name.name, base::get_string(*claim, "spec.type"),
                                 base::get_string(*claim, "spec.workload")};
  if (base::get_string(*claim, "status.driver") == "volume") {
    const auto volume = volume_figures_.find(name);
    if (volume == volume_figures_.end()) co_return;
    figures.values = {{"size_bytes", static_cast<double>(volume->second.used_bytes)},
                      {"limit_bytes", static_cast<double>(volume->second.capacity_bytes)}};
  } else {
    const auto driver = claims_->driver_of(*claim);
    auto request = co_await claims_->request_of(name);
    if (!driver || !request) co_return;
    auto measured = co_await driver->measure(*std::move(request));
    // An engine that is away says so in its health; the figures stay as they were.
    if (!measured) co_return;
    figures.values = *std::move(measured);
    window = driver->recovery_window();
  }
  const auto value = [&](const char* key) {
    const auto at = figures.values.find(key);
    return at == figures.values.end() || at->second < 0 ? std::uint64_t{0} : static_cast<std::uint64_t>(at->second);
  };
  const bool sized = figures.values.contains("size_bytes");
  const std::uint64_t used = value("size_bytes"), limit = value("limit_bytes");
  claim_figures_[name] = std::move(figures);
  if (sized) co_await judge(kResourceClaims, claim, used, limit, shown_of(used, limit, window));
}

async::Task<> ClaimMeter::measure_claims() {
  const auto all = host_.caches().of(kResourceClaims)->list();
  for (const client::ObjectPtr& claim : all) {
    if (base::get_string(*claim, "status.phase") != "Ready" ||
        !base::get_string(*claim, "metadata.deletionTimestamp").empty())
      continue;
    try {
      co_await measure_claim(claim);
    } catch (const base::StatusError& error) {
      // Changed or deleted meanwhile: the next round sees it as it is then.
      base::log::debug("cloud", "{} is not measured: {}", base::get_string(*claim, "metadata.name"), error.message());
    }
  }
  forget_missing(claim_figures_, all);
}

}  // namespace mainstay::cloud
