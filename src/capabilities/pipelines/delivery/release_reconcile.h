// Carries out what was asked of releases: deploys them where they are Pending and approved, and lets them follow into
// environments that take what comes. Level-based: after a crash it goes on where the objects say it was.
#pragma once
#include <memory>

#include "capabilities/pipelines/delivery/releases.h"

namespace mainstay::pipelines {

class ReleaseReconciler {
 public:
  ReleaseReconciler(platform::Host& host, std::shared_ptr<Releases> releases, std::shared_ptr<Deployer> deployer)
      : host_(host), releases_(std::move(releases)), deployer_(std::move(deployer)) {}
  async::Task<reconcile::Outcome> reconcile(reconcile::Name name);

 private:
  async::Task<bool> begin(json::value release, Stage stage);
  async::Task<> deliver(json::value release, Stage stage);
  async::Task<> put_back(json::value release, Stage stage);
  async::Task<reconcile::Outcome> look_after_deploy(json::value release, Stage stage, std::string requested_at);
  async::Task<> follow(json::value release, Stage next);

  platform::Host& host_;
  std::shared_ptr<Releases> releases_;
  std::shared_ptr<Deployer> deployer_;
};

// Makes Environment objects from Team.spec.environments and keeps their order in step; `name` is a team's.
async::Task<reconcile::Outcome> reconcile_environments(platform::Host& host, client::ApiClient client,
                                                       reconcile::Name name);

}  // namespace mainstay::pipelines
