// Containers by crun under conmon. Blocking calls for pool threads; thread-safe (it keeps no state of its own but
// paths).
//
// A container is known by its id. conmon holds its output and its exit code, so containers outlive this program: what
// is needed to take them up again lies in the bundle (pidfile, conmon.pid) and the exit directory.
#pragma once
#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/config.h"
#include "base/result.h"

namespace mainstay::compute {

// Where the agent of one data directory keeps what does not outlive the machine: /run/mainstay/<hash of the data
// directory>.
struct RunPaths {
  explicit RunPaths(const base::Config& config);
  std::string tag;  // the hash
  std::filesystem::path root, exits, sockets, crun;
  // What the network is called, for `mainstay down`: {"bridge", "podCidr"}.
  std::filesystem::path network_file() const { return root / "network.json"; }
  std::string cgroup;  // "/mainstay/<tag>"
};

class ContainerRuntime {
 public:
  // Finds conmon and crun (runc where there is no crun), and writes the wrapper that crun needs on hybrid cgroups.
  static base::Result<ContainerRuntime> open(const base::Config& config);

  struct Create {
    std::string id;
    std::filesystem::path bundle, log;
    bool terminal = false, stdin_open = false, stdin_once = false;
  };
  // Up to "created": namespaces, mounts and cgroup are there, the program is not yet started. Gives the pid of its
  // init.
  base::Result<pid_t> create(const Create& what) const;
  base::Result<> start(const std::string& id) const;
  // kNotFound where it has ended already.
  base::Result<> kill(const std::string& id, int signal) const;
  // Kills what still runs and forgets the container. Idempotent.
  void remove(const std::string& id) const;
  std::vector<std::string> exec_argv(const std::string& id, const std::filesystem::path& process_file) const;
  std::vector<std::string> list() const;  // ids known to the runtime

  std::optional<int> exit_code(const std::string& id) const;                           // from conmon's exit file
  bool oom_killed(const std::string& cgroup_path) const;                               // before remove()
  pid_t conmon_pid(const std::filesystem::path& bundle, const std::string& id) const;  // 0: it does not run
  void reopen_log(const std::filesystem::path& bundle) const;                          // after the file was renamed

  const RunPaths& paths() const { return paths_; }
  const std::string& version() const { return version_; }  // "crun 1.8.1"
  bool user_namespaces() const { return crun_; }
  bool hybrid() const { return hybrid_; }
  const std::string& wrapper() const { return wrapper_; }  // "" where none is needed

 private:
  explicit ContainerRuntime(const base::Config& config) : paths_(config) {}
  std::vector<std::string> command(std::initializer_list<std::string> more) const;

  RunPaths paths_;
  std::string conmon_, runtime_, wrapper_, version_;
  bool hybrid_ = false, crun_ = true;
};

// Whether /sys/fs/cgroup is cgroup version 1 with a populated version 2 hierarchy beside it.
bool hybrid_cgroups();
bool unified_cgroups();
// Removes a cgroup of all hierarchies with all below it; what still has processes stays.
void remove_cgroup(const std::string& path);

}  // namespace mainstay::compute
