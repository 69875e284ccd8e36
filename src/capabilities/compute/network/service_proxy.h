// Keeps the firewall table in step with Services and EndpointSlices: one nft transaction for all that changed
// meanwhile.
#pragma once
#include <map>
#include <memory>
#include <set>
#include <string>

#include "async/sync.h"
#include "capabilities/compute/network/nft.h"
#include "client/cache.h"
#include "platform/host.h"

namespace mainstay::compute {

class ServiceProxy : public std::enable_shared_from_this<ServiceProxy> {
 public:
  ServiceProxy(platform::Host& host, async::TaskGroup& tasks);
  async::Task<> start();  // loads the whole table, then follows; throws std::runtime_error where nft refuses
  const std::string& trouble() const { return trouble_; }

 private:
  static async::Task<> follow(std::shared_ptr<ServiceProxy> self);
  void refresh(const std::pair<std::string, std::string>& service);
  void mark(const client::ObjectPtr& object, bool slice);

  async::TaskGroup& tasks_;
  TableOptions options_;
  std::shared_ptr<client::Cache> services_, slices_;
  async::Event changed_;
  std::set<std::pair<std::string, std::string>> dirty_;  // namespace and name
  std::map<std::pair<std::string, std::string>, ServiceRules> wanted_;
  ServiceRules applied_;
  bool whole_ = true;  // the next change replaces the table
  std::string trouble_;
};

std::string table_name(const base::Config& config);

}  // namespace mainstay::compute
