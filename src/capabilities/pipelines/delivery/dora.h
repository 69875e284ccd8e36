// DORA's four figures, from the history of releases. https://dora.dev/guides/dora-metrics-four-keys/
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "capabilities/pipelines/delivery/releases.h"

namespace mainstay::pipelines {

inline const client::Resource kDeliveryReports{"mainstay.dev", "v1", "deliveryreports", true, "DeliveryReport"};
inline constexpr int kDoraDays = 30;

struct DoraFigures {
  std::string environment;  // that counts as production: the last one
  int deployments = 0;      // that succeeded, rollbacks not counted
  int failures = 0;         // deployments that failed, or were rolled back
  double per_day = 0;
  double failure_ratio = 0;                                  // failures of deployments attempted; 0 for none
  std::optional<double> lead_time_seconds, restore_seconds;  // medians; nullopt where there was none
};
// Of what finished in the last kDoraDays before `now`.
DoraFigures dora_figures(const std::vector<client::ObjectPtr>& releases, const std::string& environment,
                         base::SystemTime now);
json::object to_status(const DoraFigures& figures, base::SystemTime now);

// Writes the team's DeliveryReport and the metrics mainstay_dora_*; again within the hour, since the window moves.
async::Task<reconcile::Outcome> reconcile_report(platform::Host& host, std::shared_ptr<Releases> releases,
                                                 client::ApiClient client, reconcile::Name team);

}  // namespace mainstay::pipelines
