// What a workload's `resources:` become at deploy: ResourceClaims in the environment's namespace, waited for, and the
// values that its containers' placeholders stand for.
#pragma once
#include <memory>

#include "capabilities/pipelines/score.h"
#include "platform/host.h"

namespace mainstay::pipelines {

class DeployResources {
 public:
  DeployResources(platform::Host& host, std::shared_ptr<async::Event> changed);
  void start();
  // Applies the claims, waits until each is Ready (at most 3 minutes; tells `writer`, which may be null, what it waits
  // for) and gives the values. kInvalid: a resource that cannot be had; the message says why.
  async::Task<base::Result<std::shared_ptr<const ResourceValues>>> resolve(RenderedWorkload workload,
                                                                           DeployTarget target,
                                                                           net::BodyWriter* writer);
  // After the workload is rolled out: its claims are its Deployment's and go with it; those that score.yaml no longer
  // names are deleted, each as its reclaim policy says.
  async::Task<> settle(RenderedWorkload workload);

 private:
  using Outputs = std::map<std::string, ResourceValue>;
  async::Task<> claim(const RenderedWorkload& workload, const DeployTarget& target, const ResourceRequest& request);
  async::Task<base::Result<Outputs>> wait(std::string ns, std::string name, std::string type, net::BodyWriter* writer);
  async::Task<base::Result<Outputs>> service_port(std::string ns, ResourceRequest request);
  async::Task<Outputs> environment(std::string ns);
  async::Task<base::Result<>> route(const RenderedWorkload& workload, const DeployTarget& target,
                                    const ResourceRequest& request);

  platform::Host& host_;
  client::ApiClient client_;
  std::shared_ptr<async::Event> changed_;
};

}  // namespace mainstay::pipelines
