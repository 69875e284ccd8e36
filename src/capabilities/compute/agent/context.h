// What all pods of this node share. Owned by the Agent, outlives every worker.
#pragma once
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "async/runtime.h"
#include "capabilities/compute/agent/warm.h"
#include "capabilities/compute/image/layers.h"
#include "capabilities/compute/image/runner_root.h"
#include "capabilities/compute/network/pod_network.h"
#include "capabilities/compute/network/policy_enforcer.h"
#include "capabilities/compute/runtime/runtime.h"
#include "client/cache.h"
#include "platform/host.h"
#include "platform/interfaces/addresses.h"
#include "platform/interfaces/images.h"
#include "platform/interfaces/logs.h"
#include "platform/interfaces/pod_dns.h"
#include "platform/interfaces/sandbox.h"
#include "platform/interfaces/traffic.h"

namespace mainstay::compute {

inline constexpr const char* kNodeName = "mainstay";

class PodWorker;

struct NodeContext {
  NodeContext(platform::Host& h, ContainerRuntime r)
      : host(h),
        config(h.config()),
        client(h.client("compute")),
        runtime(std::move(r)),
        network(h.config(), runtime.paths().tag),
        layers(h.config().dir("layers")),
        runner(h.config(), h.authority().certificate_pem()),
        warm(runtime.wrapper(), runtime.paths().tag),
        tasks(h.runtime().executor(), "node agent") {}

  platform::Host& host;
  const base::Config& config;
  client::ApiClient client;
  ContainerRuntime runtime;
  PodNetwork network;
  LayerStore layers;
  RunnerRoot runner;
  Warm warm;
  async::TaskGroup tasks;
  std::shared_ptr<client::Cache> pods, config_maps, secrets, accounts, services;
  std::shared_ptr<platform::ImageStore> images;
  std::shared_ptr<platform::LogCollector> logs;
  std::shared_ptr<platform::TrafficDrain> drain;
  std::shared_ptr<platform::PodDns> pod_dns;
  std::shared_ptr<platform::SandboxNetwork> mesh;  // null where there is none
  std::shared_ptr<PolicyEnforcer> policies;
  std::set<std::string> capabilities;
  std::string host_ip;
  std::int64_t cpu_milli = 0, memory = 0;
  int own_oom_score = 0;
  // Who to tell that a container has ended.
  std::map<std::string, std::weak_ptr<PodWorker>> by_container;
  // The worker of this pod (by uid) has ended.
  std::function<void(const std::string& uid)> forget;

  base::SystemTime now() const { return host.clock().now(); }
  std::filesystem::path pod_directory(std::string_view uid) const { return config.dir("pods") / uid; }
  std::string cgroup(std::string_view uid, std::string_view id = "") const {
    return runtime.paths().cgroup + "/" + std::string(uid) + (id.empty() ? "" : "/") + std::string(id);
  }
};

}  // namespace mainstay::compute
