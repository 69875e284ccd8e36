// What objects ask for, and what a month of it costs. Pure.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/json.h"
#include "client/cache.h"

namespace mainstay::cloud {
namespace json = boost::json;

struct Amount {
  std::int64_t cpu_milli = 0, memory_bytes = 0, storage_bytes = 0, addresses = 0;
  std::int64_t cpu_limit_milli = 0, memory_limit_bytes = 0;
  double claims = 0;  // what resource claims cost a month, in the list's currency

  Amount& operator+=(const Amount& other);
};

// A pod that has ended holds nothing.
bool holds_resources(const json::value& pod);
// What is set aside for a pod: the sum over its containers, or the largest init container's where that is more. A
// request that is not given is the limit, as Kubernetes has it.
Amount pod_amount(const json::value& pod);
Amount volume_amount(const json::value& persistent_volume_claim);
// A ResourceClaim's price: what its status.monthlyCost says, else the list's by its class, else by its type; one
// without costs nothing. A volume costs what its PersistentVolumeClaim costs.
Amount claim_amount(const json::value& claim, const json::value& price_list);
// A month's estimate in the list's currency.
double monthly_cost(const Amount& amount, const json::value& price_list);

// To what need not be written anew each half minute: CPU to 10m, bytes to 64 KiB, all to a sixteenth.
Amount coarse(Amount amount);
// {cpu: "1500m", memory: "64Mi", storage: "1Gi", addresses: 3}
json::object amount_json(const Amount& amount);
std::string money(double value);  // "12.50"
std::string cpu_text(std::int64_t milli);

// What belongs to one team, by namespace.
struct TeamObjects {
  struct Environment {
    std::string name, ns;  // name "" is the team's own namespace: builds
    std::vector<client::ObjectPtr> pods, services, volumes, claims, buckets, quotas;
    // What is used, as measured, by the object's name. Buckets' figures are in their status.
    std::map<std::string, Amount> pods_used, volumes_used, claims_used;
  };
  std::vector<Environment> environments;
  std::uint64_t image_bytes = 0;  // of the team's repositories
};
// What an environment's quotas leave: the least over them, of what they limit. {} where nothing is limited.
json::object free_by_quota(const std::vector<client::ObjectPtr>& quotas);
// UsageReport.status.
json::value usage_status(const TeamObjects& team, const json::value& price_list);

}  // namespace mainstay::cloud
