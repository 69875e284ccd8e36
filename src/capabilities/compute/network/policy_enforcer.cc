#include "capabilities/compute/network/policy_enforcer.h"

#include <stdexcept>

#include "base/log.h"
#include "capabilities/compute/network/ipam.h"
#include "capabilities/compute/network/pod_network.h"
#include "capabilities/compute/runtime/runtime.h"
#include "platform/nftables.h"

namespace mainstay::compute {
namespace {

constexpr const char* kTable = "the table of network policies";
const client::Resource kNetworkPolicies{"networking.k8s.io", "v1", "networkpolicies", true, "NetworkPolicy"};

// What of a pod the table depends on.
bool same_for_policies(const json::value& a, const json::value& b) {
  const auto same = [&](std::string_view path) {
    const json::value *x = base::find(a, path), *y = base::find(b, path);
    return x == y || (x != nullptr && y != nullptr && *x == *y);
  };
  return same("metadata.labels") && same("metadata.uid") && same("status.podIP") && same("status.phase");
}

bool over(const json::value& pod) {
  const std::string phase = base::get_string(pod, "status.phase");
  return phase == "Succeeded" || phase == "Failed";
}

}  // namespace

std::string policy_table_name(const base::Config& config) { return config.bridge + "-policy"; }

PolicyEnforcer::PolicyEnforcer(platform::Host& host, async::TaskGroup& tasks)
    : tasks_(tasks),
      options_{policy_table_name(host.config()), pod_link_prefix(RunPaths(host.config()).tag) + "*",
               host.config().pod_cidr},
      pods_(host.caches().of(client::resources::kPods)),
      namespaces_(host.caches().of(client::resources::kNamespaces)),
      policies_(host.caches().of(kNetworkPolicies)),
      wake_(tasks.executor()),
      done_(tasks.executor()) {}

void PolicyEnforcer::changed() {
  ++wanted_;
  wake_.notify_all();
}

PolicyInput PolicyEnforcer::input() const {
  PolicyInput out;
  std::set<std::string> taken;
  for (const client::ObjectPtr& pod : pods_->list()) {
    const std::string uid = base::get_string(*pod, "metadata.uid");
    if (gone_.contains(uid) || over(*pod) || base::get_bool(*pod, "spec.hostNetwork")) continue;
    const auto told = told_.find(uid);
    const auto address = parse_address(told != told_.end() ? told->second : base::get_string(*pod, "status.podIP"));
    if (!address) continue;
    std::string ip = address_text(*address);
    if (taken.insert(ip).second) out.pods.push_back({std::move(ip), pod});
  }
  for (client::ObjectPtr& ns : namespaces_->list()) {
    std::string name = base::get_string(*ns, "metadata.name");
    out.namespaces[std::move(name)] = std::move(ns);
  }
  out.policies = policies_->list();
  return out;
}

async::Task<> PolicyEnforcer::start() {
  co_await pods_->synced();
  co_await namespaces_->synced();
  co_await policies_->synced();
  const std::weak_ptr<PolicyEnforcer> weak = weak_from_this();
  pods_->on_change([weak](const client::ObjectPtr& before, const client::ObjectPtr& after) {
    const auto self = weak.lock();
    if (!self || (before && after && same_for_policies(*before, *after))) return;
    if (before && (!after || base::get_string(*before, "metadata.uid") != base::get_string(*after, "metadata.uid"))) {
      self->told_.erase(base::get_string(*before, "metadata.uid"));
      self->gone_.erase(base::get_string(*before, "metadata.uid"));
    }
    self->changed();
  });
  const auto any = [weak](const client::ObjectPtr&, const client::ObjectPtr&) {
    if (const auto self = weak.lock()) self->changed();
  };
  namespaces_->on_change(any);
  policies_->on_change(any);
  PolicyTable table = policy_table(input(), options_);
  const std::uint64_t upto = wanted_;
  const auto loaded = co_await platform::load_nft_rules(full_policy_text(options_, table), kTable);
  if (!loaded) throw std::runtime_error(loaded.error().message + "; pods need nftables: apt-get install nftables");
  applied_ = std::move(table);
  whole_ = false;
  settled_ = upto;
  tasks_.spawn("network policies", follow(shared_from_this()));
}

async::Task<base::Result<>> PolicyEnforcer::admit(std::string uid, std::string ip) {
  const auto self = shared_from_this();
  gone_.erase(uid);
  told_[uid] = std::move(ip);
  changed();
  const std::uint64_t mine = wanted_;
  // A few rounds at most: each that fails has said why.
  for (int tries = 0; settled_ < mine; ++tries) {
    if (tries == 3 && !trouble_.empty()) co_return base::fail(base::ErrorCode::kUnavailable, trouble_);
    co_await done_.wait();
  }
  co_return base::Result<>{};
}

void PolicyEnforcer::leave(std::string uid) {
  told_.erase(uid);
  for (const client::ObjectPtr& pod : pods_->list()) {
    if (base::get_string(*pod, "metadata.uid") == uid) gone_.insert(uid);
  }
  changed();
}

async::Task<> PolicyEnforcer::follow(std::shared_ptr<PolicyEnforcer> self) {
  PolicyEnforcer& p = *self;
  for (;;) {
    while (p.settled_ >= p.wanted_) co_await p.wake_.wait();
    const std::uint64_t upto = p.wanted_;
    PolicyTable table = policy_table(p.input(), p.options_);
    const std::string text =
        p.whole_ ? full_policy_text(p.options_, table) : policy_change(p.options_, p.applied_, table);
    const auto done = text.empty() ? base::Result<>{} : co_await platform::load_nft_rules(text, kTable);
    if (done) {
      p.applied_ = std::move(table);
      p.whole_ = false;
      p.trouble_.clear();
      p.settled_ = upto;
    } else {
      // Somebody else may have changed the table: make it anew, and wait in between where that fails too.
      base::log::warn("compute", "{}", done.error().message);
      p.trouble_ = done.error().message;
    }
    p.done_.notify_all();
    if (done) continue;
    if (p.whole_) co_await async::sleep_for(std::chrono::seconds(2));
    p.whole_ = true;
  }
}

}  // namespace mainstay::compute
