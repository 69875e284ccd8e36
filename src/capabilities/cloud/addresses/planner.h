// The address plan as the objects have it: admission keeps it free of overlaps, also between two writes under way at
// once. On the loop.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "capabilities/cloud/addresses/plan_rules.h"
#include "platform/host.h"

namespace mainstay::cloud {

namespace address_resources {
inline const client::Resource kNetworks{"mainstay.dev", "v1", "networks", false, "Network"};
inline const client::Resource kSubnets{"mainstay.dev", "v1", "subnets", false, "Subnet"};
inline const client::Resource kPools{"mainstay.dev", "v1", "addresspools", false, "AddressPool"};
inline const client::Resource kClaims{"mainstay.dev", "v1", "addressclaims", true, "AddressClaim"};
}  // namespace address_resources

inline constexpr const char* kAddressClient = "addresses";
// Names of the platform's own: the Network, and Subnets and pools of what `mainstay up` was given.
inline constexpr const char *kPlatformNetwork = "platform", *kPods = "pods", *kServices = "services";

class Planner {
 public:
  explicit Planner(platform::Host& host);
  async::Task<> synced() const;
  AddressPlan plan() const;
  async::Task<> admit(api::AdmissionRequest& request);
  // What a Subnet would get, or throws StatusError as its creation would. Changes nothing.
  SubnetPlan dry_run(json::value subnet) const;

 private:
  void admit_network(api::AdmissionRequest& request);
  void admit_subnet(api::AdmissionRequest& request);
  void admit_pool(api::AdmissionRequest& request);
  void admit_claim(const api::AdmissionRequest& request) const;
  void admit_deletion(const api::AdmissionRequest& request) const;
  void remember(const api::AdmissionRequest& request);

  const base::Clock& clock_;
  std::shared_ptr<client::Cache> networks_, subnets_, pools_, claims_, namespaces_;
  // Admitted, and perhaps not in the copies yet. By "<plural>/<name>".
  struct Pending {
    std::string plural;
    json::value object;
    base::SteadyTime until;
  };
  std::map<std::string, Pending> pending_;
};

void add_address_admission(platform::Host& host, std::shared_ptr<Planner> planner);

}  // namespace mainstay::cloud
