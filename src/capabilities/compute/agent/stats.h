// What the node's containers use, from their cgroups (version 1 or 2) and the pods' links.
#pragma once
#include <filesystem>
#include <memory>
#include <string>

#include "capabilities/compute/agent/agent.h"
#include "platform/interfaces/stats.h"

namespace mainstay::compute {

// Where the kernel shows cgroups and links; a test gives its own folder for "/sys".
struct StatsPaths {
  std::filesystem::path sys = "/sys";
  bool unified = false;
};
// Fills in what the kernel tells of a cgroup ("/mainstay/…"). Blocking but short; what cannot be read stays 0.
void read_container(const StatsPaths& paths, const std::string& cgroup, platform::ContainerStats& out);
// `link` is the pod's link on the bridge: what it receives, the pod has sent.
void read_link(const StatsPaths& paths, const std::string& link, platform::PodStats& out);

class AgentStats final : public platform::StatsSource {
 public:
  AgentStats(platform::Host& host, std::shared_ptr<Agent> agent) : host_(host), agent_(std::move(agent)) {}
  async::Task<std::vector<platform::PodStats>> pods() override;

 private:
  platform::Host& host_;
  std::shared_ptr<Agent> agent_;
};

}  // namespace mainstay::compute
