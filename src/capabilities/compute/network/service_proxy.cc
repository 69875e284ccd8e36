#include "capabilities/compute/network/service_proxy.h"

#include <stdexcept>

#include "base/log.h"
#include "capabilities/compute/network/pod_network.h"
#include "capabilities/compute/runtime/runtime.h"
#include "platform/nftables.h"

namespace mainstay::compute {
namespace {

constexpr const char* kTable = "the service table";

}  // namespace

std::string table_name(const base::Config& config) { return config.bridge; }

ServiceProxy::ServiceProxy(platform::Host& host, async::TaskGroup& tasks)
    : tasks_(tasks),
      services_(host.caches().of(client::resources::kServices)),
      slices_(host.caches().of(client::resources::kEndpointSlices)),
      changed_(tasks.executor()) {
  const base::Config& config = host.config();
  options_ = {table_name(config),    pod_link_prefix(RunPaths(config).tag) + "*",
              config.pod_cidr,       config.service_cidr,
              config.node_address(), {config.listen.port}};
}

void ServiceProxy::mark(const client::ObjectPtr& object, bool slice) {
  if (!object) return;
  const std::string name =
      slice ? base::label(*object, "kubernetes.io/service-name") : base::get_string(*object, "metadata.name");
  if (name.empty()) return;
  dirty_.emplace(base::get_string(*object, "metadata.namespace"), name);
  changed_.notify_all();
}

void ServiceProxy::refresh(const std::pair<std::string, std::string>& key) {
  const client::ObjectPtr service = services_->get(key.first, key.second);
  if (!service) {
    wanted_.erase(key);
    return;
  }
  std::vector<client::ObjectPtr> held;
  std::vector<const json::value*> mine;
  for (client::ObjectPtr& slice : slices_->list(key.first)) {
    if (base::label(*slice, "kubernetes.io/service-name") != key.second) continue;
    mine.push_back(slice.get());
    held.push_back(std::move(slice));
  }
  ServiceRules rules = rules_of(*service, mine);
  drop_own_addresses(rules, base::get_string(*service, "spec.clusterIP"), options_);
  wanted_[key] = std::move(rules);
}

async::Task<> ServiceProxy::start() {
  co_await services_->synced();
  co_await slices_->synced();
  const std::weak_ptr<ServiceProxy> weak = weak_from_this();
  const auto watch = [weak](bool slice) {
    return [weak, slice](const client::ObjectPtr& before, const client::ObjectPtr& after) {
      const auto self = weak.lock();
      if (!self) return;
      self->mark(before, slice);
      self->mark(after, slice);
    };
  };
  services_->on_change(watch(false));
  slices_->on_change(watch(true));
  const auto loaded = co_await platform::load_nft_rules(full_table(options_, {}), kTable);
  if (!loaded) throw std::runtime_error(loaded.error().message + "; pods need nftables: apt-get install nftables");
  whole_ = false;
  tasks_.spawn("services", follow(shared_from_this()));
}

async::Task<> ServiceProxy::follow(std::shared_ptr<ServiceProxy> self) {
  ServiceProxy& p = *self;
  for (;;) {
    while (p.dirty_.empty() && !p.whole_) co_await p.changed_.wait();
    for (const auto& key : std::exchange(p.dirty_, {})) p.refresh(key);
    ServiceRules rules;
    for (const auto& [key, some] : p.wanted_) rules.insert(some.begin(), some.end());
    const std::string text = p.whole_ ? full_table(p.options_, rules) : table_change(p.options_, p.applied_, rules);
    if (text.empty()) continue;
    const auto done = co_await platform::load_nft_rules(text, kTable);
    if (done) {
      p.applied_ = std::move(rules);
      p.whole_ = false;
      p.trouble_.clear();
      continue;
    }
    // Somebody else may have changed the table: make it anew, and wait in between where that fails too.
    base::log::warn("compute", "{}", done.error().message);
    p.trouble_ = done.error().message;
    if (p.whole_) co_await async::sleep_for(std::chrono::seconds(2));
    p.whole_ = true;
  }
}

}  // namespace mainstay::compute
