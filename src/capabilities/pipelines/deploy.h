// Deploying what a run built: POST workflowruns/{name}/deploy, answered line by line while the rollout goes on.
#pragma once
#include <memory>
#include <string>

#include "api/route.h"
#include "capabilities/pipelines/attestations.h"
#include "capabilities/pipelines/deploy_resources.h"
#include "capabilities/pipelines/run_store.h"
#include "capabilities/pipelines/score.h"
#include "platform/host.h"
#include "platform/interfaces/git.h"
#include "platform/interfaces/images.h"

namespace mainstay::pipelines {

// How far a rollout is: pure, from the objects.
struct Rollout {
  enum class State { kGoing, kDone, kFailed } state = State::kGoing;
  std::string message;          // why it failed; what it waits for
  std::string failed_pod;       // whose log says more
  bool waits_for_room = false;  // a new pod fits on no machine now
  bool old_serves = false;      // pods of what was deployed before are ready
};
Rollout rollout_of(const json::value& deployment, const std::vector<client::ObjectPtr>& replica_sets,
                   const std::vector<client::ObjectPtr>& pods, std::string_view run);

class Releases;

// What is rolled out, the same for a run's deploy step, a promotion and a rollback: image, commit and configuration
// stay from environment to environment, only `target.environment` (and the host that follows from it) changes.
struct Delivery {
  DeployTarget target;
  std::string file, score;  // score.yaml's path and text; both "" where the repository has none
};

class Deployer : public std::enable_shared_from_this<Deployer> {
 public:
  struct Outcome {
    bool deployed = false;  // false and no error: superseded, or waiting for approval
    std::string name, ns, url, note;
  };
  Deployer(platform::Host& host, std::shared_ptr<RunStore> store, std::shared_ptr<Attestations> attestations,
           std::shared_ptr<Releases> releases);
  void start();
  async::Task<net::Response> handle(std::shared_ptr<api::RequestContext> context);
  // Renders for delivery.target.environment, applies, and waits for the rollout to end, telling `writer` (may be null)
  // how it goes. An error says why it failed; what was deployed before goes on serving.
  async::Task<base::Result<Outcome>> deliver(Delivery delivery, net::BodyWriter* writer);
  // Renders and applies, without waiting: puts back what ran before.
  async::Task<base::Result<RenderedWorkload>> apply(Delivery delivery, net::BodyWriter* writer = nullptr);
  base::Result<> check_environment(const std::string& team, const std::string& environment) const;
  std::string host_suffix(const std::string& environment, const std::string& team) const;

 private:
  struct Request {
    reconcile::Name run;
    std::string environment, score, image;
  };
  static async::Task<> stream(std::shared_ptr<Deployer> self, Request request, net::BodyWriter& writer);
  async::Task<base::Result<Outcome>> deploy(Request request, net::BodyWriter& writer);
  async::Task<base::Result<json::value>> attested(Request request);
  async::Task<base::Result<Delivery>> delivery_of(json::value run, Request request);
  static base::Result<RenderedWorkload> render(const Delivery& delivery);
  async::Task<base::Result<>> wait(RenderedWorkload workload, std::string run, net::BodyWriter* writer);
  async::Task<std::string> last_lines(std::string ns, std::string pod);
  async::Task<std::string> last_unhealthy(std::string ns, std::string pod);  // what its probe met
  std::string superseded_by(const json::value& run) const;
  std::string url(const std::string& workload, const std::string& environment, const std::string& team) const;

  platform::Host& host_;
  client::ApiClient client_;
  std::shared_ptr<RunStore> store_;
  std::shared_ptr<Attestations> attestations_;
  std::shared_ptr<Releases> releases_;
  std::shared_ptr<platform::GitReader> git_;
  std::shared_ptr<platform::ImageStore> images_;
  std::shared_ptr<DeployResources> resources_;
  std::shared_ptr<async::Event> changed_;  // something that deploys wait for has changed
};

}  // namespace mainstay::pipelines
