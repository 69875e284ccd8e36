#include <signal.h>
#include <unistd.h>

#include "base/log.h"
#include "capabilities/compute/agent/bundle.h"
#include "capabilities/compute/capability.h"
#include "capabilities/compute/fs.h"
#include "capabilities/compute/network/pod_network.h"
#include "capabilities/compute/network/policy_enforcer.h"
#include "capabilities/compute/network/service_proxy.h"
#include "capabilities/compute/runtime/runtime.h"
#include "capabilities/compute/runtime/spawn.h"

namespace mainstay::compute {
namespace fs = std::filesystem;
namespace {

void remove_containers(const base::Config& config) {
  const auto runtime = ContainerRuntime::open(config);
  if (!runtime) {
    base::log::warn("compute", "{}", runtime.error().message);
    return;
  }
  for (const std::string& id : runtime->list()) runtime->remove(id);
}

// A conmon ends with its container; one that does not (its runtime was killed) is ended here.
void end_monitors(const fs::path& run) {
  const std::string mark = run.string() + "/exits";
  std::error_code ignored;
  for (const auto& process : fs::directory_iterator("/proc", ignored)) {
    const std::string pid = process.path().filename();
    if (pid.find_first_not_of("0123456789") != std::string::npos) continue;
    const std::string command = slurp(process.path() / "cmdline", 16384);
    const std::string program = command.substr(0, command.find('\0'));
    if (program.ends_with("conmon") && command.find(mark + '\0') != std::string::npos) ::kill(std::stoi(pid), SIGKILL);
  }
}

// The names the program was started with, which `mainstay down` is not told.
base::Config as_started(base::Config config) {
  const auto kept = base::parse_json(slurp(RunPaths(config).network_file()));
  if (kept) {
    config.bridge = base::get_string(*kept, "bridge", config.bridge);
    config.pod_cidr = base::get_string(*kept, "podCidr", config.pod_cidr);
  }
  return config;
}

void remove_empty_parent() {
  std::error_code ignored;
  ::rmdir("/sys/fs/cgroup/mainstay");
  for (const auto& hierarchy : fs::directory_iterator("/sys/fs/cgroup", ignored))
    ::rmdir((hierarchy.path() / "mainstay").c_str());
}

}  // namespace

void compute_down(const base::Config& given) {
  if (::geteuid() != 0) {
    base::log::warn("compute", "containers are not removed: that needs root");
    return;
  }
  const base::Config config = as_started(given);
  const RunPaths run(config);
  std::error_code ignored;
  if (fs::exists(run.root, ignored)) {
    remove_containers(config);
    end_monitors(run.root);
  }
  unmount_below(fs::weakly_canonical(config.dir("pods"), ignored));
  PodNetwork(config, run.tag).remove_all();
  for (const std::string& table : {table_name(config), policy_table_name(config)}) {
    const auto gone = spawn_and_wait({"/usr/sbin/nft", "delete", "table", "ip", table}, std::chrono::seconds(10));
    if (!gone) base::log::warn("compute", "{}", gone.error().message);
  }
  remove_cgroup(run.cgroup);
  for (const char* name : {"-a", "-b"}) remove_cgroup("/mainstay-warm-" + run.tag + name);
  remove_empty_parent();
  remove_tree(run.root);
  ::rmdir("/run/mainstay");
}

}  // namespace mainstay::compute
