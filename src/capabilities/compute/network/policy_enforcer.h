// Keeps the policy table in step with pods, namespaces and NetworkPolicies, one nft transaction for all that changed
// meanwhile. What is in the kernel stays in force while this program is down; the next start replaces it in one
// transaction, too.
#pragma once
#include <map>
#include <memory>
#include <set>
#include <string>

#include "async/sync.h"
#include "capabilities/compute/network/policy.h"
#include "client/cache.h"
#include "platform/host.h"

namespace mainstay::compute {

std::string policy_table_name(const base::Config& config);

class PolicyEnforcer : public std::enable_shared_from_this<PolicyEnforcer> {
 public:
  PolicyEnforcer(platform::Host& host, async::TaskGroup& tasks);
  async::Task<> start();  // loads the whole table, then follows; throws std::runtime_error where nft refuses
  // A pod got this address: resumes when the table knows it, so that its containers find their peers from their first
  // moment. kUnavailable says why nft refused.
  async::Task<base::Result<>> admit(std::string uid, std::string ip);
  void leave(std::string uid);  // the pod has lost its address
  const std::string& trouble() const { return trouble_; }

 private:
  static async::Task<> follow(std::shared_ptr<PolicyEnforcer> self);
  PolicyInput input() const;
  void changed();

  async::TaskGroup& tasks_;
  PolicyOptions options_;
  std::shared_ptr<client::Cache> pods_, namespaces_, policies_;
  async::Event wake_, done_;
  std::uint64_t wanted_ = 1, settled_ = 0;   // counts of changes: asked for, and dealt with
  std::map<std::string, std::string> told_;  // address by uid, before the pod's status says it
  std::set<std::string> gone_;               // uids that have no address any more, whatever their status says
  PolicyTable applied_;
  bool whole_ = true;  // the next change replaces the table
  std::string trouble_;
};

}  // namespace mainstay::compute
