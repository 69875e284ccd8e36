// The scheduler: binds pods to a node that has room for what they request.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "capabilities/compute/controllers/pods.h"
#include "platform/host.h"

namespace mainstay::compute {

// Why the pod cannot go to the node, in the words of Kubernetes' scheduler ("Insufficient memory"); "" where it can.
// `placed` are all pods of the cluster. Pure.
std::string why_not(const json::value& pod, const json::value& node, const std::vector<client::ObjectPtr>& placed);

class Scheduler : public std::enable_shared_from_this<Scheduler> {
 public:
  explicit Scheduler(platform::Host& host);
  static void add_to(platform::Host& host);
  async::Task<reconcile::Outcome> reconcile(reconcile::Name name);

 private:
  bool waits(const json::value& pod) const;
  std::vector<reconcile::Name> waiting() const;
  async::Task<> bind(client::ObjectPtr pod, std::string node);
  async::Task<> refuse(client::ObjectPtr pod, std::string message);

  platform::Host& host_;
  client::ApiClient client_;
  std::shared_ptr<client::Cache> pods_, nodes_;
};

}  // namespace mainstay::compute
