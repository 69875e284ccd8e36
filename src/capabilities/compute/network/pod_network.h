// Pods' network on this machine: a bridge, of which nothing but the node's address is used, and for each pod a network
// namespace with a veth pair, an address, and a route to it. Some are kept ready, so that a pod's start need not wait
// for the kernel to make one. Blocking, thread-safe: pool threads.
#pragma once
#include <deque>
#include <functional>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "base/config.h"
#include "base/result.h"
#include "capabilities/compute/network/ipam.h"

namespace mainstay::compute {

struct PodNet {
  std::string name;  // of the network namespace, below /run/netns, and of the node's end of its link
  std::string ip;
  std::string path() const { return "/run/netns/" + name; }
};

// What the names of an instance's network namespaces and links begin with.
std::string pod_link_prefix(const std::string& tag);

class PodNetwork {
 public:
  PodNetwork(const base::Config& config, std::string tag);
  // Makes or mends the bridge and what the machine must allow. `in_use` are the namespaces of pods that are taken up
  // again; all others with our tag are removed.
  base::Result<> open(const std::vector<PodNet>& in_use);
  base::Result<PodNet> take();
  // Addresses that are never given out from now on; called on pool threads.
  void keep_free(std::function<bool(std::uint32_t)> reserved);
  void refill();  // up to kReady namespaces
  void release(const PodNet& net);
  static bool exists(const PodNet& net);
  // Removes the bridge, all namespaces with our tag, and the links. For compute_down().
  void remove_all();

  static constexpr std::size_t kReady = 4;

 private:
  base::Result<PodNet> make();
  base::Result<> attach(const PodNet& net) const;
  base::Result<> wire(const PodNet& net, int host_namespace) const;
  std::vector<std::string> names() const;
  void drop(const std::string& name) const;

  std::string bridge_, tag_, cursor_file_;
  std::string cidr_;
  Network network_;
  std::mutex mutex_;
  AddressPool addresses_;
  std::function<bool(std::uint32_t)> reserved_;
  std::deque<PodNet> ready_;
};

}  // namespace mainstay::compute
