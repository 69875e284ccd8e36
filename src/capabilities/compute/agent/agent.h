// The node agent: one worker a pod that is bound to this node, and what they share. On the loop.
//
// Life: start() takes up what runs from before and begins to follow the API; stop() lets go of everything but the
// containers, which go on under conmon.
#pragma once
#include <map>
#include <memory>
#include <string>

#include "async/file_watch.h"
#include "capabilities/compute/agent/context.h"
#include "capabilities/compute/agent/pod_worker.h"
#include "capabilities/compute/network/service_proxy.h"

namespace mainstay::compute {

class Agent : public std::enable_shared_from_this<Agent> {
 public:
  explicit Agent(platform::Host& host) : host_(host) {}
  async::Task<> start();  // throws std::runtime_error where this machine cannot run pods
  async::Task<> stop();
  platform::Health health() const;
  std::string engine() const { return node_ ? node_->runtime.version() : ""; }
  std::shared_ptr<PodWorker> worker(std::string_view ns, std::string_view pod) const;  // null: not running here
  std::vector<std::shared_ptr<PodWorker>> workers() const;
  NodeContext* node() const { return node_.get(); }

 private:
  using Self = std::shared_ptr<Agent>;
  async::Task<> open_node();
  async::Task<> publish_node();
  void follow_pods();
  void on_pod(const client::ObjectPtr& before, const client::ObjectPtr& after);
  void on_config(std::string_view kind, const json::value& object);
  static async::Task<> watch_exits(Self self);
  static async::Task<> upkeep(Self self);
  static async::Task<> remove_orphans(Self self);

  platform::Host& host_;
  std::shared_ptr<NodeContext> node_;
  std::shared_ptr<ServiceProxy> proxy_;
  std::unique_ptr<async::FileWatch> exits_;
  std::map<std::string, std::shared_ptr<PodWorker>> workers_;  // by uid
  std::string trouble_;
};

}  // namespace mainstay::compute
