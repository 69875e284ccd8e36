// How a ResourceClass provides what a ResourceClaim asks for: drivers, brought by the parts of cloud/ and looked up by
// the claims' reconciler.
#pragma once
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "async/task.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/result.h"

namespace mainstay::platform {

// TCP ports of the node's address (the pods' bridge) that engines of claims listen on; compute lets pods reach them.
inline constexpr std::uint16_t kFirstResourcePort = 15432, kLastResourcePort = 15631;

// One claim, as a driver sees it.
struct ClaimRequest {
  std::string ns, name, uid;
  // Opaque, the same for as long as the namespace lives and the claim has this name: what a Retain policy left behind
  // is found again by it, and nobody else's later namespace of the same name ever finds it.
  std::string id;
  std::string workload;
  boost::json::object params;                      // of the claim
  boost::json::object parameters;                  // of the class
  std::map<std::string, std::string> credentials;  // what the connection Secret holds now, as provision() gave it
};

// kInvalid where the claim or its class names what the driver does not know: a misspelt setting is not one left out.
base::Result<> check_params(const ClaimRequest& claim, const std::vector<std::string>& known);

struct Provisioned {
  std::map<std::string, std::string> outputs;  // shown in status.outputs
  std::map<std::string, std::string> secrets;  // go into the connection Secret alone
};

struct ResourceBackup {
  std::string name;  // "20260102T030405Z"
  std::uint64_t bytes = 0;
};

// Moments that data can be brought back to.
struct RecoveryWindow {
  base::SystemTime earliest;
  std::optional<base::SystemTime> latest;  // none: now
};

class ResourceDriver {
 public:
  virtual ~ResourceDriver() = default;
  // Makes it, or finds it made; called again and again. kInvalid is for good (the claim has failed), any other error is
  // tried again.
  virtual async::Task<base::Result<Provisioned>> provision(ClaimRequest claim) = 0;
  // The claim is being deleted. `keep`: the data stays, and nobody can get at it.
  virtual async::Task<base::Result<>> release(ClaimRequest claim, bool keep) = 0;
  virtual async::Task<base::Result<ResourceBackup>> backup(ClaimRequest claim) { co_return no_backups(); }
  virtual async::Task<base::Result<>> restore(ClaimRequest claim, std::string backup) { co_return no_backups(); }
  // The data as it was at a moment, in the place of what there is.
  virtual async::Task<base::Result<>> restore_to(ClaimRequest claim, base::SystemTime moment) {
    co_return base::fail(base::ErrorCode::kInvalid,
                         "spec.toTime: resources of this class cannot be brought back to a moment; name a backup");
  }
  // nullopt: none (yet). Costs nothing.
  virtual std::optional<RecoveryWindow> recovery_window() const { return std::nullopt; }
  // What there is of it now, by name: "size_bytes" (on disk), "limit_bytes" (what it may grow to) and what else the
  // driver knows, as "connections". Called now and then for each claim that is ready; metrics mainstay_claim_<name>.
  virtual async::Task<base::Result<std::map<std::string, double>>> measure(ClaimRequest claim) {
    co_return std::map<std::string, double>();
  }
  // Oldest first.
  virtual async::Task<std::vector<ResourceBackup>> backups(ClaimRequest claim) {
    co_return std::vector<ResourceBackup>();
  }

 private:
  static std::unexpected<base::Error> no_backups() {
    return base::fail(base::ErrorCode::kInvalid, "resources of this class have no backups");
  }
};

// Found by Host::find in every capability; drivers are added before the controllers start.
class ResourceDrivers {
 public:
  void add(std::string name, std::shared_ptr<ResourceDriver> driver) { drivers_[std::move(name)] = std::move(driver); }
  std::shared_ptr<ResourceDriver> find(const std::string& name) const {
    const auto at = drivers_.find(name);
    return at == drivers_.end() ? nullptr : at->second;
  }
  std::vector<std::string> names() const {
    std::vector<std::string> out;
    for (const auto& [name, driver] : drivers_) out.push_back(name);
    return out;
  }

 private:
  std::map<std::string, std::shared_ptr<ResourceDriver>> drivers_;
};

}  // namespace mainstay::platform
