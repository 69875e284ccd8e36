#include "capabilities/observe/storage_metrics.h"

#include <set>

#include "capabilities/observe/exposition.h"
#include "capabilities/observe/scope.h"

namespace mainstay::observe {

std::string storage_metrics(const platform::StorageUsage& usage, const client::Cache& namespaces) {
  Exposition out;
  const auto claims = usage.claims();
  const auto labels = [&](const platform::ClaimFigures& claim, const std::string& team) -> Labels {
    return {{"namespace", claim.ns},
            {"team", team},
            {"claim", claim.name},
            {"type", claim.type},
            {"workload", claim.workload}};
  };
  std::set<std::string> names;
  for (const auto& claim : claims)
    for (const auto& [name, value] : claim.values) names.insert(name);
  for (const std::string& name : names) {
    out.family("mainstay_claim_" + name, name.ends_with("_total") ? "counter" : "gauge",
               "Of a ResourceClaim, measured every quarter of a minute");
    for (const auto& claim : claims) {
      const auto value = claim.values.find(name);
      if (value == claim.values.end()) continue;
      const std::string team = team_of(namespaces, claim.ns);
      out.sample(labels(claim, team), value->second);
    }
  }
  const auto volumes = usage.volumes();
  const std::pair<const char*, std::uint64_t platform::VolumeFigures::*> families[] = {
      {"kubelet_volume_stats_used_bytes", &platform::VolumeFigures::used_bytes},
      {"kubelet_volume_stats_capacity_bytes", &platform::VolumeFigures::capacity_bytes}};
  for (const auto& [name, value] : families) {
    out.family(name, "gauge", "Of a PersistentVolumeClaim; its capacity is what was asked for");
    for (const auto& volume : volumes) {
      const std::string team = team_of(namespaces, volume.ns);
      out.sample({{"namespace", volume.ns}, {"team", team}, {"persistentvolumeclaim", volume.name}},
                 static_cast<double>(volume.*value));
    }
  }
  return out.take();
}

}  // namespace mainstay::observe
