#include "capabilities/compute/network/pod_network.h"

#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "base/files.h"
#include "base/ids.h"
#include "base/log.h"
#include "capabilities/compute/fs.h"
#include "capabilities/compute/network/netlink.h"

namespace mainstay::compute {
namespace fs = std::filesystem;
namespace {

const fs::path kNamespaces = "/run/netns";

// Runs `work` on a thread of its own: it changes the network namespace, and must never come back to a pool.
template <class F>
base::Result<> on_own_thread(F work) {
  base::Result<> result;
  std::thread([&] { result = work(); }).join();
  return result;
}

base::Result<> bind_own_namespace(const fs::path& path) {
  Fd file(::open(path.c_str(), O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444));
  if (!file.ok()) return errno_error("network namespace " + path.string());
  if (::unshare(CLONE_NEWNET) != 0) return errno_error("a new network namespace");
  if (::mount("/proc/thread-self/ns/net", path.c_str(), nullptr, MS_BIND, nullptr) != 0)
    return errno_error("keeping network namespace " + path.string());
  return {};
}

base::Result<> exists_is_fine(base::Result<> result) {
  if (!result && result.error().code == base::ErrorCode::kAlreadyExists) return {};
  return result;
}

Network parsed(const std::string& cidr) { return Network::parse(cidr).value_or(Network{}); }

}  // namespace

std::string pod_link_prefix(const std::string& tag) { return "ms" + tag.substr(0, 6) + "-"; }

PodNetwork::PodNetwork(const base::Config& config, std::string tag)
    : bridge_(config.bridge),
      tag_(pod_link_prefix(tag)),
      cursor_file_(config.dir("pods") / ".next-address"),
      cidr_(config.pod_cidr),
      network_(parsed(config.pod_cidr)),
      addresses_(network_) {}

bool PodNetwork::exists(const PodNet& net) {
  // The file outlives a restart of the machine's mounts; only a mounted one is a namespace.
  const auto mounted = mounts_below(net.path());
  return !mounted.empty();
}

std::vector<std::string> PodNetwork::names() const {
  std::vector<std::string> out;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(kNamespaces, ignored)) {
    std::string name = entry.path().filename();
    if (name.starts_with(tag_)) out.push_back(std::move(name));
  }
  return out;
}

// The veth pair goes with its namespace, some time later.
void PodNetwork::drop(const std::string& name) const {
  const fs::path path = kNamespaces / name;
  while (::umount2(path.c_str(), MNT_DETACH) == 0) {
  }
  ::unlink(path.c_str());
}

base::Result<> PodNetwork::open(const std::vector<PodNet>& in_use) {
  MAINSTAY_TRY(network_, Network::parse(cidr_));
  MAINSTAY_TRY_VOID(base::make_directories(kNamespaces, 0755));
  MAINSTAY_TRY(Netlink netlink, Netlink::open());
  MAINSTAY_TRY_VOID(exists_is_fine(netlink.add_bridge(bridge_)));
  MAINSTAY_TRY_VOID(exists_is_fine(netlink.add_address(bridge_, network_.first(), network_.prefix)));
  MAINSTAY_TRY_VOID(netlink.set_up(bridge_));
  if (!put("/proc/sys/net/ipv4/ip_forward", "1"))
    return base::fail(
        base::ErrorCode::kForbidden,
        "cannot set net.ipv4.ip_forward to 1, which pods need to reach each other: sysctl -w net.ipv4.ip_forward=1");
  const std::lock_guard lock(mutex_);
  for (const PodNet& net : in_use) {
    if (const auto address = parse_address(net.ip)) addresses_.claim(*address);
  }
  if (const auto cursor = parse_address(slurp(cursor_file_, 64))) addresses_.set_cursor(*cursor);
  for (const std::string& name : names()) {
    if (std::ranges::none_of(in_use, [&name](const PodNet& net) { return net.name == name; })) drop(name);
  }
  return {};
}

// The node's end of a pod's link: no address, one route. There is no segment that two pods share, so everything between
// pods is routed, and passes the firewall. What does not come from the pod's own address is dropped (strict reverse
// path filter), and IPv6, which the firewall does not look at, is off.
base::Result<> PodNetwork::attach(const PodNet& net) const {
  MAINSTAY_TRY(Netlink netlink, Netlink::open());
  for (const auto& [path, value] : {std::pair{"/proc/sys/net/ipv4/conf/" + net.name + "/rp_filter", "1"},
                                    std::pair{"/proc/sys/net/ipv6/conf/" + net.name + "/disable_ipv6", "1"}}) {
    // A kernel without IPv6 has no such file, and no need of it.
    if (!put(path, value) && path.find("/ipv6/") == std::string::npos)
      return base::fail(base::ErrorCode::kForbidden, fmt::format("cannot set {} to {}", path, value));
  }
  MAINSTAY_TRY_VOID(netlink.set_up(net.name));
  return netlink.add_host_route(net.name, *parse_address(net.ip), network_.first());
}

base::Result<> PodNetwork::wire(const PodNet& net, int host_namespace) const {
  MAINSTAY_TRY(Netlink inside, Netlink::open());
  MAINSTAY_TRY_VOID(inside.set_up("lo"));
  MAINSTAY_TRY_VOID(inside.add_veth("eth0", net.name, host_namespace));
  MAINSTAY_TRY_VOID(inside.add_address("eth0", *parse_address(net.ip), 32));
  MAINSTAY_TRY_VOID(inside.set_up("eth0"));
  MAINSTAY_TRY_VOID(inside.add_host_route("eth0", network_.first(), 0));
  MAINSTAY_TRY_VOID(inside.add_default_route(network_.first()));
  // As container runtimes set them: ports below 1024 and ping need no privilege in a network of one's own.
  put("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0");
  put("/proc/sys/net/ipv4/ping_group_range", "0 2147483647");
  return {};
}

base::Result<PodNet> PodNetwork::make() {
  PodNet net;
  net.name = tag_ + base::random_hex(3);  // 15 characters: IFNAMSIZ less one
  std::string cursor;
  {
    const std::lock_guard lock(mutex_);
    MAINSTAY_TRY(const std::uint32_t address, addresses_.take(reserved_));
    net.ip = address_text(address);
    cursor = address_text(addresses_.cursor());
  }
  static_cast<void>(write_light(cursor_file_, cursor, 0644));
  const fs::path path = net.path();
  auto made = on_own_thread([&]() -> base::Result<> {
    Fd host(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
    if (!host.ok()) return errno_error("network namespace");
    MAINSTAY_TRY_VOID(bind_own_namespace(path));
    return wire(net, host.get());
  });
  if (made) made = attach(net);
  if (!made) {
    release(net);
    return std::unexpected(made.error());
  }
  return net;
}

void PodNetwork::keep_free(std::function<bool(std::uint32_t)> reserved) {
  const std::lock_guard lock(mutex_);
  reserved_ = std::move(reserved);
}

base::Result<PodNet> PodNetwork::take() {
  for (;;) {
    PodNet out;
    bool reserved = false;
    {
      const std::lock_guard lock(mutex_);
      if (ready_.empty()) break;
      out = std::move(ready_.front());
      ready_.pop_front();
      const auto address = parse_address(out.ip);
      reserved = reserved_ && address && reserved_(*address);  // since it was made
    }
    if (!reserved) return out;
    release(out);
  }
  return make();
}

void PodNetwork::refill() {
  for (;;) {
    {
      const std::lock_guard lock(mutex_);
      if (ready_.size() >= kReady) return;
    }
    auto net = make();
    if (!net) {
      base::log::warn("compute", "no network namespace in reserve: {}", net.error().message);
      return;
    }
    const std::lock_guard lock(mutex_);
    ready_.push_back(*std::move(net));
  }
}

void PodNetwork::release(const PodNet& net) {
  drop(net.name);
  const std::lock_guard lock(mutex_);
  if (const auto address = parse_address(net.ip)) addresses_.give_back(*address);
}

void PodNetwork::remove_all() {
  for (const std::string& name : names()) drop(name);
  auto netlink = Netlink::open();
  if (!netlink) return;
  // Links whose namespace lingers in a process that is about to end.
  std::error_code ignored;
  for (const auto& link : fs::directory_iterator("/sys/class/net", ignored)) {
    if (const std::string name = link.path().filename(); name.starts_with(tag_))
      static_cast<void>(netlink->remove_link(name));
  }
  if (::if_nametoindex(bridge_.c_str()) != 0) {
    if (auto removed = netlink->remove_link(bridge_); !removed)
      base::log::warn("compute", "{}", removed.error().message);
  }
}

}  // namespace mainstay::compute
