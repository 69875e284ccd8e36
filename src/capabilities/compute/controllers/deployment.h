// Deployment: one ReplicaSet a pod template, rolled from one to the next.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "capabilities/compute/controllers/rollout.h"
#include "platform/host.h"

namespace mainstay::compute {

class DeploymentController : public std::enable_shared_from_this<DeploymentController> {
 public:
  explicit DeploymentController(platform::Host& host);
  static void add_to(platform::Host& host);
  async::Task<reconcile::Outcome> reconcile(reconcile::Name name);

 private:
  // One pass's picture. Coroutines take it by shared pointer, so it lives as long as any of them.
  struct Rollout {
    explicit Rollout(reconcile::Pass p) : pass(std::move(p)) {}
    reconcile::Pass pass;
    client::ObjectPtr deployment;
    std::vector<client::ObjectPtr> sets;  // all of the Deployment's, as last written or read
    client::ObjectPtr newest;             // the one with the present template; null where there is none yet
    RolloutLimits limits;
    std::int64_t wanted = 0;
  };
  using RolloutPtr = std::shared_ptr<Rollout>;

  void find_newest(RolloutPtr r) const;
  async::Task<> ensure_newest(RolloutPtr r);
  async::Task<> create_newest(RolloutPtr r, std::string revision);
  async::Task<> number_newest(RolloutPtr r, std::string revision);
  async::Task<> advance(RolloutPtr r);
  async::Task<> recreate(RolloutPtr r);
  async::Task<> apply_replicas(RolloutPtr r, std::vector<SetReplicas> sets);
  async::Task<> clean_up(RolloutPtr r);
  void note_pause(RolloutPtr r) const;
  bool old_pods_remain(const Rollout& r) const;
  std::vector<SetReplicas> replicas_of(const Rollout& r) const;
  void record(client::ObjectPtr about, std::string type, std::string reason, std::string message);

  platform::Host& host_;
  client::ApiClient client_;
  std::shared_ptr<client::Cache> deployments_, sets_, pods_;
};

}  // namespace mainstay::compute
