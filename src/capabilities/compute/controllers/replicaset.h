// ReplicaSet: keeps as many active pods as spec.replicas asks for.
#pragma once
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/selector.h"
#include "platform/host.h"

namespace mainstay::compute {
namespace json = boost::json;

struct ReplicaCounts {
  std::int64_t replicas = 0, fully_labeled = 0, ready = 0, available = 0;
  std::optional<base::SystemTime> next_available;  // when a ready pod becomes available by minReadySeconds
};
// Counts active pods for status. Pure.
ReplicaCounts count_replicas(const json::value& replica_set, const std::vector<client::ObjectPtr>& pods,
                             base::SystemTime now);

class ReplicaSetController : public std::enable_shared_from_this<ReplicaSetController> {
 public:
  explicit ReplicaSetController(platform::Host& host);
  static void add_to(platform::Host& host);
  async::Task<reconcile::Outcome> reconcile(reconcile::Name name);

 private:
  async::Task<std::string> manage(client::ObjectPtr set, std::vector<client::ObjectPtr> active);
  async::Task<std::string> create_pods(client::ObjectPtr set, std::int64_t count);
  async::Task<std::string> delete_pods(client::ObjectPtr set, std::vector<client::ObjectPtr> active,
                                       std::int64_t count);
  async::Task<> write_status(client::ObjectPtr set, ReplicaCounts counts, std::string failure,
                             std::string failure_reason);
  void record(client::ObjectPtr about, std::string type, std::string reason, std::string message);

  platform::Host& host_;
  client::ApiClient client_;
  std::shared_ptr<client::Cache> sets_, pods_;
  // Pods deleted here whose deletion the copy does not show yet, by ReplicaSet: without it a pass on the old copy would
  // delete a second one.
  std::map<reconcile::Name, std::set<std::string>> deleted_;
};

}  // namespace mainstay::compute
