// What claims and volumes hold, measured every quarter of a minute: for their status, for metrics, for usage reports.
#pragma once
#include <map>
#include <memory>

#include "capabilities/cloud/resources/claim_reconcile.h"
#include "platform/interfaces/usage.h"

namespace mainstay::cloud {

class ClaimMeter final : public platform::StorageUsage, public std::enable_shared_from_this<ClaimMeter> {
 public:
  ClaimMeter(platform::Host& host, std::shared_ptr<ClaimReconciler> claims);
  // For as long as the program runs. There is no event for what grows on a disk.
  static async::Task<> run(std::shared_ptr<ClaimMeter> self);
  std::vector<platform::ClaimFigures> claims() const override;
  std::vector<platform::VolumeFigures> volumes() const override;

 private:
  async::Task<> measure_volumes();
  async::Task<> measure_claims();
  async::Task<> measure_claim(client::ObjectPtr claim);
  async::Task<> judge(client::Resource resource, client::ObjectPtr object, std::uint64_t used, std::uint64_t limit,
                      json::object status);

  platform::Host& host_;
  client::ApiClient client_;
  std::shared_ptr<ClaimReconciler> claims_;
  std::map<reconcile::Name, platform::ClaimFigures> claim_figures_;
  std::map<reconcile::Name, platform::VolumeFigures> volume_figures_;
};

// Bytes that the files below a folder take on the disk, links not followed; it stops after a million entries. Blocking.
std::uint64_t bytes_below(const std::filesystem::path& folder);

}  // namespace mainstay::cloud
