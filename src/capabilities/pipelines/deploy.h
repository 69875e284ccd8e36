// Deploying what a run built: POST workflowruns/{name}/deploy, answered line by line while the rollout goes on.
#pragma once
#include <memory>
#include <string>

#include "api/route.h"
#include "capabilities/pipelines/attestations.h"
#include "capabilities/pipelines/run_store.h"
#include "capabilities/pipelines/score.h"
#include "platform/host.h"
#include "platform/interfaces/git.h"
#include "platform/interfaces/images.h"

namespace mainstay::pipelines {

// How far a rollout is: pure, from the objects.
struct Rollout {
  enum class State { kGoing, kDone, kFailed } state = State::kGoing;
  std::string message;     // why it failed; what it waits for
  std::string failed_pod;  // whose log says more
};
Rollout rollout_of(const json::value& deployment, const std::vector<client::ObjectPtr>& replica_sets,
                   const std::vector<client::ObjectPtr>& pods, std::string_view run);

class Deployer : public std::enable_shared_from_this<Deployer> {
 public:
  Deployer(platform::Host& host, std::shared_ptr<RunStore> store, std::shared_ptr<Attestations> attestations);
  void start();
  async::Task<net::Response> handle(std::shared_ptr<api::RequestContext> context);

 private:
  struct Request {
    reconcile::Name run;
    std::string environment, score, image;
  };
  struct Outcome {
    bool deployed = false;  // false and no error: superseded
    std::string name, ns, url, note;
  };
  static async::Task<> stream(std::shared_ptr<Deployer> self, Request request, net::BodyWriter& writer);
  async::Task<base::Result<Outcome>> deploy(Request request, net::BodyWriter& writer);
  async::Task<base::Result<json::value>> attested(Request request);
  async::Task<base::Result<RenderedWorkload>> render(json::value run, Request request);
  async::Task<base::Result<>> wait(RenderedWorkload workload, std::string run, net::BodyWriter& writer);
  async::Task<std::string> last_lines(std::string ns, std::string pod);
  base::Result<> check_environment(const std::string& team, const std::string& environment) const;
  std::string superseded_by(const json::value& run) const;
  std::string url(const std::string& workload, const std::string& environment, const std::string& team) const;

  platform::Host& host_;
  client::ApiClient client_;
  std::shared_ptr<RunStore> store_;
  std::shared_ptr<Attestations> attestations_;
  std::shared_ptr<platform::GitReader> git_;
  std::shared_ptr<platform::ImageStore> images_;
  std::shared_ptr<async::Event> changed_;  // something that deploys wait for has changed
};

}  // namespace mainstay::pipelines
