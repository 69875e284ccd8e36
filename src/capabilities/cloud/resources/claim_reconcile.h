// From a ResourceClaim to what it asks for: the class is bound once, its driver provides, the connection Secret is
// kept.
#pragma once
#include <memory>

#include "api/admission.h"
#include "capabilities/cloud/resources/classes.h"
#include "platform/host.h"
#include "platform/interfaces/resources.h"

namespace mainstay::cloud {
namespace json = boost::json;

inline const client::Resource kPriceLists{"mainstay.dev", "v1", "pricelists", false, "PriceList"};
inline constexpr std::string_view kClaimFinalizer = "mainstay.dev/resource";
inline constexpr std::string_view kClaimLabel = "mainstay.dev/resource-claim";  // on connection Secrets

class ClaimReconciler : public std::enable_shared_from_this<ClaimReconciler> {
 public:
  ClaimReconciler(platform::Host& host, std::shared_ptr<platform::ResourceDrivers> drivers);
  async::Task<reconcile::Outcome> reconcile(reconcile::Name name);
  // As the driver sees it; kNotFound, or kUnavailable where the claim is not bound to a class (yet).
  async::Task<base::Result<platform::ClaimRequest>> request_of(reconcile::Name name);
  std::shared_ptr<platform::ResourceDriver> driver_of(const json::value& claim) const;
  // status.backups anew.
  async::Task<> show_backups(reconcile::Name name);

 private:
  async::Task<> release(reconcile::Pass& pass, reconcile::Name name);
  base::Result<> bind(reconcile::Pass& pass, reconcile::Name name);
  async::Task<base::Result<>> provide(reconcile::Pass& pass, reconcile::Name name);
  async::Task<base::Result<platform::ClaimRequest>> request_of_object(const json::value& claim);
  async::Task<base::Result<>> keep_secret(const json::value& claim, const platform::Provisioned& made);
  void show_class(reconcile::Pass& pass, reconcile::Name name);
  std::string label_of_namespace(const std::string& ns, const char* label) const;

  platform::Host& host_;
  client::ApiClient client_;
  std::shared_ptr<platform::ResourceDrivers> drivers_;
};

// Claims live in environments, and neither their type nor their class changes.
api::AdmissionPlugin claim_admission(platform::Host& host);

}  // namespace mainstay::cloud
