#include "capabilities/pipelines/delivery/dora.h"

#include <algorithm>
#include <cmath>

#include "base/status.h"

namespace mainstay::pipelines {
namespace {

constexpr std::string_view kReport = "delivery";

// One change of production.
struct Change {
  base::SystemTime at;
  std::string workload;
  bool failed = false;    // did not come up, or was rolled back later
  bool blamed = false;    // counts as a failure
  bool good = false;      // came up: restores after a failure
  bool counts = false;    // a deployment (a rollback is none)
  double lead_time = -1;  // seconds; < 0: not known
};

double seconds(std::chrono::system_clock::duration d) { return std::chrono::duration<double>(d).count(); }

std::optional<double> median(std::vector<double> values) {
  if (values.empty()) return std::nullopt;
  std::ranges::sort(values);
  const std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

std::vector<Change> changes_of(const json::value& release, const std::string& environment, base::SystemTime from) {
  std::vector<Change> out;
  const auto pushed = base::parse_rfc3339(base::get_string(release, "spec.pushedAt"));
  for (const json::value& entry : base::get_array(release, "status.history")) {
    if (base::get_string(entry, "environment") != environment) continue;
    const auto at = base::parse_rfc3339(base::get_string(entry, "finishedAt"));
    if (!at || *at < from) continue;
    const std::string result = base::get_string(entry, "result");
    if (result == "RolledBack") {
      // What it left turned out to be a failure, from when it was deployed; the deployment it goes back to is blamed.
      const auto last = std::ranges::find_if(out.rbegin(), out.rend(), &Change::good);
      if (last != out.rend()) {
        last->failed = true;
        last->good = false;
        const auto blamed = std::ranges::find_if(last, out.rend(), &Change::counts);
        if (blamed != out.rend()) blamed->blamed = true;
      }
      continue;
    }
    Change change{*at, base::get_string(release, "spec.workload")};
    change.good = result == "Succeeded";
    change.failed = change.blamed = !change.good;
    change.counts = base::get_string(entry, "action") != "rollback";
    if (change.good && change.counts && pushed && *at > *pushed) change.lead_time = seconds(*at - *pushed);
    out.push_back(std::move(change));
  }
  return out;
}

std::string duration_text(std::optional<double> value) {
  if (!value) return "";
  const auto all = static_cast<std::int64_t>(std::llround(*value));
  if (all < 60) return fmt::format("{}s", all);
  if (all < 3600) return fmt::format("{}m{}s", all / 60, all % 60);
  return fmt::format("{}h{}m", all / 3600, all % 3600 / 60);
}

}  // namespace

DoraFigures dora_figures(const std::vector<client::ObjectPtr>& releases, const std::string& environment,
                         base::SystemTime now) {
  DoraFigures out;
  out.environment = environment;
  std::vector<Change> all;
  for (const auto& release : releases)
    for (Change& change : changes_of(*release, environment, now - std::chrono::hours(24 * kDoraDays)))
      all.push_back(std::move(change));
  std::ranges::sort(all, {}, &Change::at);
  std::vector<double> lead, restore;
  int attempts = 0;
  std::map<std::string, base::SystemTime> broken;  // workloads since when
  for (const Change& change : all) {
    if (change.counts) {
      ++attempts;
      // A deployment that was rolled back did reach production all the same.
      if (change.lead_time >= 0) {
        ++out.deployments;
        lead.push_back(change.lead_time);
      } else if (change.good) {
        ++out.deployments;
      }
      if (change.blamed) ++out.failures;
    }
    if (change.failed) {
      broken.try_emplace(change.workload, change.at);
    } else if (const auto since = broken.find(change.workload); since != broken.end()) {
      restore.push_back(seconds(change.at - since->second));
      broken.erase(since);
    }
  }
  out.per_day = static_cast<double>(out.deployments) / kDoraDays;
  out.failure_ratio = attempts == 0 ? 0 : static_cast<double>(out.failures) / attempts;
  out.lead_time_seconds = median(std::move(lead));
  out.restore_seconds = median(std::move(restore));
  return out;
}

json::object to_status(const DoraFigures& figures, base::SystemTime now) {
  json::object status{{"environment", figures.environment},
                      {"days", kDoraDays},
                      {"deployments", figures.deployments},
                      {"failures", figures.failures},
                      {"deploymentsPerDay", fmt::format("{:.2f}", figures.per_day)},
                      {"leadTime", duration_text(figures.lead_time_seconds)},
                      {"changeFailureRate", fmt::format("{:.0f}%", figures.failure_ratio * 100)},
                      {"timeToRestore", duration_text(figures.restore_seconds)},
                      {"computedAt", base::rfc3339(now)}};
  if (figures.lead_time_seconds) status["leadTimeSeconds"] = *figures.lead_time_seconds;
  if (figures.restore_seconds) status["timeToRestoreSeconds"] = *figures.restore_seconds;
  return status;
}

async::Task<reconcile::Outcome> reconcile_report(platform::Host& host, std::shared_ptr<Releases> releases,
                                                 client::ApiClient client, reconcile::Name team) {
  const auto stages = releases->stages(team.name);
  const client::ObjectPtr object = host.caches().of(client::resources::kTeams)->get("", team.name);
  if (!object || stages.empty() || !base::get_string(*object, "metadata.deletionTimestamp").empty())
    co_return reconcile::Outcome::done();
  const auto now = host.clock().now();
  const DoraFigures figures = dora_figures(releases->all(team.name), stages.back().name, now);
  const std::vector<std::pair<std::string, std::string>> labels{{"team", team.name}};
  host.metrics()
      .gauge("mainstay_dora_deployments_per_day", "Deployments to production a day, over 30 days.", labels)
      .set(figures.per_day);
  host.metrics()
      .gauge("mainstay_dora_change_failure_ratio", "Deployments that failed or were rolled back, of all.", labels)
      .set(figures.failure_ratio);
  if (figures.lead_time_seconds)
    host.metrics()
        .gauge("mainstay_dora_lead_time_seconds", "Median time from push to running in production.", labels)
        .set(*figures.lead_time_seconds);
  if (figures.restore_seconds)
    host.metrics()
        .gauge("mainstay_dora_restore_seconds", "Median time from a failed deployment to one that works.", labels)
        .set(*figures.restore_seconds);
  json::object status = to_status(figures, now);
  const client::ObjectPtr there = host.caches().of(kDeliveryReports)->get(team.name, kReport);
  if (there) {
    json::object same = base::get_object(*there, "status");
    same["computedAt"] = status["computedAt"];
    if (same == status) co_return reconcile::Outcome::after(std::chrono::hours(1));
  } else {
    try {
      co_await client.create(
          kDeliveryReports, team.name,
          json::object{
              {"apiVersion", "mainstay.dev/v1"},
              {"kind", "DeliveryReport"},
              {"metadata", json::object{{"name", kReport},
                                        {"namespace", team.name},
                                        {"ownerReferences", json::array{reconcile::owner_reference(*object)}}}}});
    } catch (const base::StatusError& error) {
      if (!error.is_already_exists()) throw;
    }
  }
  co_await client.merge_patch(kDeliveryReports, team.name, std::string(kReport),
                              json::object{{"status", std::move(status)}}, "status");
  co_return reconcile::Outcome::after(std::chrono::hours(1));
}

}  // namespace mainstay::pipelines
