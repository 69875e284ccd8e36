#include "capabilities/compute/agent/agent.h"

#include <charconv>
#include <stdexcept>

#include "base/files.h"
#include "base/log.h"
#include "base/status.h"
#include "capabilities/compute/fs.h"
#include "capabilities/compute/node.h"

namespace mainstay::compute {
namespace fs = std::filesystem;
namespace {

constexpr std::uint64_t kMaxLogBytes = 16u << 20;  // of each of two files a container
constexpr std::chrono::seconds kUpkeepPeriod{5};
constexpr std::chrono::hours kLayerAge{24};

bool is_uid(std::string_view name) {
  return name.size() == 36 && name.find_first_not_of("0123456789abcdef-") == std::string_view::npos;
}

std::vector<std::string> pod_directories(const base::Config& config) {
  std::vector<std::string> out;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(config.dir("pods"), ignored)) {
    if (is_uid(entry.path().filename().string())) out.push_back(entry.path().filename());
  }
  return out;
}

// Everything on this machine that pods need, mended where something is missing. Blocking.
base::Result<> open_machine(NodeContext& node) {
  MAINSTAY_TRY_VOID(base::make_directories(node.config.dir("pods"), 0711));
  MAINSTAY_TRY_VOID(node.layers.open());
  MAINSTAY_TRY_VOID(node.runner.prepare());
  std::vector<PodNet> in_use;
  for (const std::string& uid : pod_directories(node.config)) {
    const auto record = read_pod_record(node.pod_directory(uid));
    if (record && !record->net.name.empty()) in_use.push_back(record->net);
  }
  const json::object network{{"bridge", node.config.bridge}, {"podCidr", node.config.pod_cidr}};
  MAINSTAY_TRY_VOID(write_light(node.runtime.paths().network_file(), base::to_json(network), 0644));
  MAINSTAY_TRY_VOID(node.network.open(in_use));
  node.capabilities = bounding_capabilities();
  const std::string score = slurp("/proc/self/oom_score_adj", 32);
  std::from_chars(score.data(), score.data() + score.size(), node.own_oom_score);
  const NodeResources resources = machine_resources();
  node.cpu_milli = resources.cpu_milli;
  node.memory = resources.memory;
  node.host_ip = node.config.node_address();
  return {};
}

// A pod of which the API knows nothing any more. Blocking.
void remove_leftovers(NodeContext& node, const std::string& uid) {
  const fs::path directory = node.pod_directory(uid);
  std::error_code ignored;
  for (const auto& container : fs::directory_iterator(directory / "containers", ignored)) {
    for (const Bundle& bundle : bundles_of(directory, container.path().filename().string())) {
      if (const auto state = bundle.read()) node.runtime.remove(state->id);
    }
  }
  if (const auto record = read_pod_record(directory); record && !record->net.name.empty())
    node.network.release(record->net);
  remove_tree(directory);
  remove_cgroup(node.cgroup(uid));
}

}  // namespace

async::Task<> Agent::open_node() {
  auto runtime =
      co_await host_.runtime().blocking([config = host_.config()] { return ContainerRuntime::open(config); });
  if (!runtime) throw std::runtime_error(runtime.error().message);
  node_ = std::make_shared<NodeContext>(host_, *std::move(runtime));
  const auto opened = co_await host_.runtime().blocking([node = node_] { return open_machine(*node); });
  if (!opened)
    throw std::runtime_error(opened.error().message +
                             "; pods need root and a usual Linux kernel, or start with --no-compute");
  node_->images = host_.find<platform::ImageStore>();
  node_->logs = host_.find<platform::LogCollector>();
  node_->drain = host_.find<platform::TrafficDrain>();
  node_->pod_dns = host_.find<platform::PodDns>();
  node_->mesh = host_.find<platform::SandboxNetwork>();
  if (const auto plan = host_.find<platform::AddressReservations>())
    node_->network.keep_free([plan](std::uint32_t address) { return plan->reserved("pods", address); });
  node_->pods = host_.caches().of(client::resources::kPods);
  node_->config_maps = host_.caches().of(client::resources::kConfigMaps);
  node_->services = host_.caches().of(client::resources::kServices);
  node_->secrets = host_.caches().of(client::resources::kSecrets);
  node_->accounts = host_.caches().of(client::resources::kServiceAccounts);
  co_await node_->pods->synced();
  co_await node_->config_maps->synced();
  co_await node_->services->synced();
  co_await node_->secrets->synced();
  co_await node_->accounts->synced();
}

async::Task<> Agent::start() {
  co_await open_node();
  const std::string& listening = host_.config().listen.host;
  if (listening != "0.0.0.0" && listening != "::" && listening != node_->host_ip) {
    const auto bound = host_.listen_also({node_->host_ip, host_.config().listen.port});
    if (!bound) throw std::runtime_error("the API cannot listen on the pods' bridge: " + bound.error().message);
  }
  auto exits = async::FileWatch::open(node_->tasks.executor());
  if (!exits) throw std::runtime_error("cannot watch for the end of containers: " + exits.error().message);
  exits_ = *std::move(exits);
  const auto added =
      exits_->add(node_->runtime.paths().exits, async::FileChange::kCreated | async::FileChange::kClosed);
  if (!added) throw std::runtime_error("cannot watch for the end of containers: " + added.error().message);
  node_->tasks.spawn("exits", watch_exits(shared_from_this()));
  proxy_ = std::make_shared<ServiceProxy>(host_, node_->tasks);
  co_await proxy_->start();
  node_->policies = std::make_shared<PolicyEnforcer>(host_, node_->tasks);
  co_await node_->policies->start();
  co_await publish_node();
  node_->forget = [weak = weak_from_this()](const std::string& uid) {
    if (const auto self = weak.lock()) self->workers_.erase(uid);
  };
  follow_pods();
  node_->tasks.spawn("orphans", remove_orphans(shared_from_this()));
  node_->tasks.spawn("upkeep", upkeep(shared_from_this()));
}

async::Task<> Agent::stop() {
  if (!node_) co_return;
  node_->tasks.cancel();
  co_await node_->tasks.join();
  co_await host_.runtime().run_blocking([node = node_] { node->warm.stop(); });
  node_->forget = nullptr;
  workers_.clear();
}

async::Task<> Agent::publish_node() {
  const client::ApiClient& client = node_->client;
  const NodeResources resources = machine_resources();
  json::value wanted = node_object(host_.config());
  const auto there = co_await client.find(client::resources::kNodes, "", kNodeName);
  if (!there) {
    co_await client.create(client::resources::kNodes, "", wanted);
  } else {
    co_await client.merge_patch(
        client::resources::kNodes, "", kNodeName,
        json::object{{"metadata", json::object{{"labels", base::get_object(wanted, "metadata.labels")}}},
                     {"spec", json::object{{"podCIDR", host_.config().pod_cidr}}}});
  }
  const json::value before = there ? *there : json::value(json::object{});
  json::value status = node_status(host_.config(), resources, node_->runtime.version(), before, node_->now());
  co_await client.merge_patch(client::resources::kNodes, "", kNodeName, json::object{{"status", std::move(status)}},
                              "status");
}

void Agent::follow_pods() {
  const std::weak_ptr<Agent> weak = weak_from_this();
  node_->pods->on_change([weak](const client::ObjectPtr& before, const client::ObjectPtr& after) {
    if (const auto self = weak.lock()) self->on_pod(before, after);
  });
  const auto config = [weak](std::string kind) {
    return [weak, kind](const client::ObjectPtr& before, const client::ObjectPtr& after) {
      if (const auto self = weak.lock(); self && after && before) self->on_config(kind, *after);
    };
  };
  node_->config_maps->on_change(config("ConfigMap"));
  node_->secrets->on_change(config("Secret"));
}

void Agent::on_pod(const client::ObjectPtr& before, const client::ObjectPtr& after) {
  const std::string uid = after ? base::get_string(*after, "metadata.uid") : "";
  if (before) {
    const std::string old = base::get_string(*before, "metadata.uid");
    const auto found = workers_.find(old);
    if (old != uid && found != workers_.end()) found->second->object_gone();
  }
  if (!after || base::get_string(*after, "spec.nodeName") != kNodeName) return;
  const auto found = workers_.find(uid);
  if (found != workers_.end()) {
    found->second->update(after);
    return;
  }
  auto worker = std::make_shared<PodWorker>(node_, after);
  workers_[uid] = worker;
  worker->start();
}

void Agent::on_config(std::string_view kind, const json::value& object) {
  const std::string ns = base::get_string(object, "metadata.namespace"),
                    name = base::get_string(object, "metadata.name");
  for (const auto& [uid, worker] : workers_) {
    if (worker->spec().ns == ns && worker->shows(kind, name)) worker->refresh_volumes();
  }
}

async::Task<> Agent::watch_exits(Self self) {
  NodeContext& node = *self->node_;
  for (;;) {
    for (const async::FileChange& change : co_await self->exits_->next()) {
      if ((change.kind & async::FileChange::kOverflow) != 0) {
        std::vector<std::string> all;
        for (const auto& [id, worker] : node.by_container) all.push_back(id);
        for (const std::string& id : all) {
          if (const auto worker = node.by_container[id].lock(); worker && node.runtime.exit_code(id))
            worker->container_exited(id);
        }
        continue;
      }
      const std::string id = change.path.filename();
      const auto found = node.by_container.find(id);
      if (found == node.by_container.end()) continue;
      if (const auto worker = found->second.lock(); worker && node.runtime.exit_code(id)) worker->container_exited(id);
    }
  }
}

async::Task<> Agent::remove_orphans(Self self) {
  NodeContext* node = self->node_.get();
  co_await node->host.runtime().run_blocking([node] { node->network.refill(); });
  std::vector<std::string> orphans;
  for (std::string& uid : pod_directories(node->config)) {
    if (!self->workers_.contains(uid)) orphans.push_back(std::move(uid));
  }
  for (const std::string& uid : orphans) {
    base::log::info("compute", "removing what is left of pod {}, which is gone", uid);
    co_await node->host.runtime().run_blocking([node, uid] { remove_leftovers(*node, uid); });
  }
  // A create that the end of the program before us cut off may have come to its end only now: nobody asked for it any
  // more.
  co_await async::sleep_for(std::chrono::seconds(5));
  for (const std::string& id : node->runtime.list()) {
    if (node->by_container.contains(id)) continue;
    co_await node->host.runtime().run_blocking([node, id] { node->runtime.remove(id); });
  }
}

async::Task<> Agent::upkeep(Self self) {
  NodeContext* node = self->node_.get();
  base::SteadyTime collected = node->host.clock().steady();
  for (;;) {
    co_await async::sleep_for(kUpkeepPeriod);
    for (const auto& [uid, worker] : self->workers_) worker->rotate_logs(kMaxLogBytes);
    if (node->host.clock().steady() - collected < std::chrono::minutes(10)) continue;
    collected = node->host.clock().steady();
    co_await node->host.runtime().run_blocking(
        [node] { node->layers.collect(mounted_layers(node->config), kLayerAge); });
  }
}

std::shared_ptr<PodWorker> Agent::worker(std::string_view ns, std::string_view pod) const {
  // By its uid: one of the same name, deleted by force, may still be ending.
  const client::ObjectPtr object = node_ ? node_->pods->get(ns, pod) : nullptr;
  const auto found = object ? workers_.find(base::get_string(*object, "metadata.uid")) : workers_.end();
  return found == workers_.end() || found->second->ended() ? nullptr : found->second;
}

std::vector<std::shared_ptr<PodWorker>> Agent::workers() const {
  std::vector<std::shared_ptr<PodWorker>> out;
  for (const auto& [uid, worker] : workers_) {
    if (!worker->ended()) out.push_back(worker);
  }
  return out;
}

platform::Health Agent::health() const {
  if (!node_) return {false, "the node agent has not started"};
  if (proxy_ && !proxy_->trouble().empty()) return {false, proxy_->trouble()};
  if (node_->policies && !node_->policies->trouble().empty()) return {false, node_->policies->trouble()};
  std::size_t running = 0;
  for (const auto& [uid, worker] : workers_) {
    for (const ContainerState& c : worker->state().main) running += c.running() ? 1 : 0;
  }
  return {true, fmt::format("{} pods, {} containers running", workers_.size(), running)};
}

}  // namespace mainstay::compute
