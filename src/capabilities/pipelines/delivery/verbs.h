// The verbs on releases and runs: POST releases/{name}/{promote,approve,rollback}, POST workflowruns/{name}/rerun.
#pragma once
#include <memory>

#include "api/route.h"
#include "capabilities/pipelines/delivery/releases.h"
#include "platform/interfaces/provenance.h"

namespace mainstay::pipelines {

// Each answers the object it changed (rollback: the release that comes back; rerun: the new run). RBAC has been asked
// when they are called; they throw StatusError 403 for approvals that do not count, 409 where the release is not where
// the verb needs it.
class DeliveryVerbs {
 public:
  DeliveryVerbs(platform::Host& host, std::shared_ptr<Releases> releases)
      : host_(host), client_(host.client("pipelines")), releases_(std::move(releases)) {}
  // {environment}: default the one after the furthest where the release is. Not approved yet: it waits for approval.
  async::Task<net::Response> promote(std::shared_ptr<api::RequestContext> context);
  // {environment, comment}: default the first that still needs approval. Kept as a signed statement on the image.
  async::Task<net::Response> approve(std::shared_ptr<api::RequestContext> context);
  // {environment, to}: the release named is the one to leave.
  async::Task<net::Response> rollback(std::shared_ptr<api::RequestContext> context);
  // Runs the same workflow at the same commit again, once the run has ended.
  async::Task<net::Response> rerun(std::shared_ptr<api::RequestContext> context);

 private:
  struct Asked {
    reconcile::Name name;
    std::string user, environment, comment, to;
  };
  static async::Task<Asked> read(std::shared_ptr<api::RequestContext> context);
  async::Task<std::string> attest(json::value release, Asked asked, std::string at);

  platform::Host& host_;
  client::ApiClient client_;
  std::shared_ptr<Releases> releases_;
};

// Refuses, for everybody but the platform and its administrators, what would go around approvals in an environment that
// asks for them: pods of images that no approved release names, and Deployments whose pods change other than by a
// release. Scaling and restarting stay free.
void add_delivery_gate(platform::Host& host, std::shared_ptr<Releases> releases);

}  // namespace mainstay::pipelines
