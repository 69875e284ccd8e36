#include "daemon/preflight.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "base/files.h"
#include "base/strings.h"
#include "capabilities/routing/capability.h"
#include "platform/engine.h"

namespace mainstay::daemon {
namespace fs = std::filesystem;
namespace {

constexpr std::uint64_t kLeastDisk = 2ull << 30;

// The inode of the listening socket on that port, from /proc/net/tcp{,6}; 0 where there is none.
std::uint64_t listening_inode(std::uint16_t port) {
  for (const char* table : {"/proc/net/tcp", "/proc/net/tcp6"}) {
    std::ifstream in(table);
    std::string line;
    std::getline(in, line);
    while (std::getline(in, line)) {
      char local[80], state[8];
      unsigned long long inode = 0;
      if (std::sscanf(line.c_str(), " %*d: %79s %*s %7s %*s %*s %*s %*s %*s %llu", local, state, &inode) != 3) continue;
      const char* colon = std::strrchr(local, ':');
      if (colon != nullptr && std::strcmp(state, "0A") == 0 && std::strtoul(colon + 1, nullptr, 16) == port)
        return inode;
    }
  }
  return 0;
}

struct Holder {
  pid_t pid = 0;  // 0 where it cannot be seen
  std::string text;
};

Holder holder_of(std::uint16_t port) {
  const std::uint64_t inode = listening_inode(port);
  if (inode == 0) return {};
  const std::string wanted = fmt::format("socket:[{}]", inode);
  std::error_code ignored;
  for (const auto& process : fs::directory_iterator("/proc", ignored)) {
    const std::string pid = process.path().filename();
    if (pid.find_first_not_of("0123456789") != std::string::npos) continue;
    for (fs::directory_iterator fd(process.path() / "fd", ignored), end; !ignored && fd != end; fd.increment(ignored)) {
      std::error_code gone;
      if (fs::read_symlink(fd->path(), gone) != wanted || gone) continue;
      std::ifstream comm(process.path() / "comm");
      std::string name;
      std::getline(comm, name);
      return {static_cast<pid_t>(std::atoi(pid.c_str())), fmt::format(" by {} (pid {})", name, pid)};
    }
  }
  return {0, " by a process of somebody else"};
}

// `ours`: engines that outlived the Mainstay before us on this data directory, and are adopted.
void check_port(const base::HostPort& address, std::string_view flag, const std::vector<pid_t>& ours,
                std::vector<Finding>& out) {
  if (address.port == 0) return;
  addrinfo hints{}, *found = nullptr;
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE;
  hints.ai_socktype = SOCK_STREAM;
  if (::getaddrinfo(address.host.c_str(), std::to_string(address.port).c_str(), &hints, &found) != 0) {
    out.push_back({true, fmt::format("{} {}: {} is not an IP address", flag, address.to_string(), address.host),
                   "give an address and a port, for example 127.0.0.1:8443"});
    return;
  }
  const int fd = ::socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (::bind(fd, found->ai_addr, found->ai_addrlen) != 0) {
    const int error = errno;
    const Holder holder = error == EADDRINUSE ? holder_of(address.port) : Holder{};
    if (error == EADDRINUSE && std::find(ours.begin(), ours.end(), holder.pid) == ours.end()) {
      std::string mend = "stop it";
      for (const routing::EdgeProcess& edge : routing::edge_processes()) {
        if (edge.pid == holder.pid) mend = fmt::format("mainstay down --data-dir {}", edge.data_dir.string());
      }
      out.push_back({true, fmt::format("port {} ({}) is taken{}", address.to_string(), flag, holder.text),
                     fmt::format("{}, or choose another port with {}", mend, flag)});
    } else if (error != EADDRINUSE) {
      out.push_back({true, fmt::format("cannot listen on {} ({}): {}", address.to_string(), flag, std::strerror(error)),
                     error == EACCES ? "ports below 1024 need root" : "give an address of this machine"});
    }
  }
  ::close(fd);
  ::freeaddrinfo(found);
}

void check_program(std::string_view name, std::string_view package, std::string_view lost, std::vector<Finding>& out) {
  const char* path = ::getenv("PATH");
  for (std::string_view dir : base::split(path != nullptr ? path : "/usr/bin:/bin:/usr/sbin:/sbin", ':')) {
    if (::access((fs::path(dir) / name).c_str(), X_OK) == 0) return;
  }
  for (const char* dir : {"/usr/sbin", "/sbin"}) {
    if (::access((fs::path(dir) / name).c_str(), X_OK) == 0) return;
  }
  out.push_back(
      {true, fmt::format("the program {} is missing: {}", name, lost), fmt::format("apt-get install {}", package)});
}

void check_disk(const base::Config& config, std::vector<Finding>& out) {
  fs::path there = fs::absolute(config.data_dir);
  while (!fs::exists(there) && there != there.root_path()) there = there.parent_path();
  struct statvfs disk{};
  if (::statvfs(there.c_str(), &disk) != 0) return;
  const std::uint64_t free = disk.f_bavail * static_cast<std::uint64_t>(disk.f_frsize);
  if (free < kLeastDisk) {
    out.push_back({free < (64u << 20),
                   fmt::format("{} has {} MB free, images and logs want at least {} MB", there.string(), free >> 20,
                               kLeastDisk >> 20),
                   "free some, or put --data-dir on another disk"});
  }
  if (::access(there.c_str(), W_OK) != 0) {
    out.push_back({true, fmt::format("{} is not writable for this user", there.string()),
                   "run as root, or choose another --data-dir"});
  }
}

// Jobs run in a user namespace: a parent folder that others may not walk through hides the data directory from them.
void check_reachable(const base::Config& config, std::vector<Finding>& out) {
  for (fs::path at = fs::absolute(config.data_dir).parent_path(); at != at.root_path(); at = at.parent_path()) {
    std::error_code missing;
    const auto status = fs::status(at, missing);
    if (missing || (status.permissions() & fs::perms::others_exec) != fs::perms::none) continue;
    out.push_back({true,
                   fmt::format("{} lets nobody but its owner through, so jobs cannot reach {}", at.string(),
                               config.data_dir.string()),
                   fmt::format("chmod o+x {}, or choose another --data-dir", at.string())});
  }
}

void check_compute(std::vector<Finding>& out) {
  if (::geteuid() != 0) {
    out.push_back({true, "pods need root (mounts, network, cgroups) and this is another user",
                   "run with sudo, or --no-compute to serve the API alone"});
    return;
  }
  std::error_code ignored;
  if (!fs::exists("/sys/fs/cgroup/cgroup.controllers", ignored) && !fs::exists("/sys/fs/cgroup/memory", ignored)) {
    out.push_back({true, "no cgroup hierarchy below /sys/fs/cgroup, so pods cannot be limited",
                   "mount -t cgroup2 none /sys/fs/cgroup, or --no-compute"});
  }
  std::ifstream filesystems("/proc/filesystems");
  const std::string all((std::istreambuf_iterator<char>(filesystems)), {});
  if (all.find("overlay") == std::string::npos && ::system("modprobe overlay 2>/dev/null") != 0)
    out.push_back(
        {true, "the kernel has no overlayfs, which images are mounted with", "modprobe overlay, or another kernel"});
  check_program("crun", "crun", "it runs containers", out);
  check_program("conmon", "conmon", "it keeps containers while Mainstay restarts", out);
  check_program("buildah", "buildah", "it builds images from Dockerfiles", out);
  check_program("nft", "nftables", "it routes service addresses", out);
  check_program("haproxy", "haproxy", "it serves workloads at the edge", out);
}

}  // namespace

std::vector<Finding> preflight(const base::Config& config) {
  std::vector<Finding> out;
  std::vector<pid_t> engines;
  for (const platform::DetachedEngine& engine : platform::detached_engines(config.data_dir)) {
    engines.insert(engines.end(), engine.pids.begin(), engine.pids.end());
  }
  for (const routing::EdgeProcess& edge : routing::edge_processes()) {
    if (edge.orphaned) engines.push_back(edge.pid);  // ended at the start
  }
  check_port(config.listen, "--listen", {}, out);
  check_port(config.http, "--http", engines, out);
  check_port(config.https, "--https", engines, out);
  check_disk(config, out);
  check_program("git", "git", "it stores and serves repositories", out);
  if (config.compute) {
    check_reachable(config, out);
    check_compute(out);
  }
  return out;
}

}  // namespace mainstay::daemon
