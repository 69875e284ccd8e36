// A packaged program that Mainstay runs (HAProxy, …): started on first need, supervised, limited in memory.
//
// Two kinds. An attached engine dies with Mainstay and its output goes to our log. A detached one (`detached`) outlives
// Mainstay, also kill -9: its output goes to files, DIR/run/engines/<name>.pid says which process it is, and the next
// Mainstay adopts it. `mainstay down` ends those with stop_detached_engines().
#pragma once
#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "async/process.h"
#include "async/runtime.h"
#include "platform/host.h"

namespace mainstay::platform {

struct EngineOptions {
  std::string name;  // "haproxy"
  std::vector<std::string> argv;
  std::map<std::string, std::string> env;
  std::uint64_t memory_limit_bytes = 0;           // by cgroup where possible; 0: none
  std::function<async::Task<bool>(pid_t)> ready;  // asked until true after a start, of this process
  std::chrono::milliseconds start_limit{10000};
  int stop_signal = 15;
  int death_signal = 9;  // what an attached one gets when Mainstay is killed: 15 where it has data to write yet
  std::chrono::milliseconds stop_limit{5000};
  // Before each start: writes the program's configuration.
  std::function<async::Task<base::Result<>>()> prepare;

  // For detached engines.
  bool detached = false;
  std::filesystem::path
      output_file;  // standard output is appended here; standard error goes to DIR/run/engines/<name>.log
  // Which process serves now, asked of itself (0: none): surer than the pid file, which a crash can leave behind by
  // one.
  std::function<async::Task<pid_t>()> find_running;
  // The arguments of a process that takes over from `old`, for replace().
  std::function<std::vector<std::string>(pid_t old)> successor_argv;
};

class Engine {
 public:
  Engine(Host& host, EngineOptions options);
  ~Engine();
  // Until ready; a detached one that runs already is adopted. Restarts later (at once, then with back-off 0.1 s
  // doubling to 10 s). Where the first start fails the error says why, and it is tried again as above.
  async::Task<base::Result<>> start();
  // Ends an attached engine; a detached one is let go and runs on.
  async::Task<> stop();
  // Ends it, detached or not.
  async::Task<> terminate();
  // Starts a successor beside the running process and goes over to it once it is ready; the successor itself tells the
  // old one to finish. On an error the old one stays in charge. One at a time.
  async::Task<base::Result<>> replace();
  bool running() const;
  bool adopted() const;  // the present process was started by an earlier Mainstay
  pid_t pid() const;     // 0 where it does not run
  Health health() const;
  void on_restart(std::function<void()> hook);  // after each start but the first, and not after replace()

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

// The detached engines of a data directory, for `mainstay down` (blocking: up to `limit`, then SIGKILL) and for a
// preflight that must not take an engine of ours for a stranger on its port. A pid file's lines: pid, start time in
// clock ticks as in /proc/<pid>/stat, the command's arguments each.
struct DetachedEngine {
  std::string name;
  std::vector<pid_t> pids;  // the one in charge, and predecessors that still finish
};
std::vector<DetachedEngine> detached_engines(const std::filesystem::path& data_dir);
void stop_detached_engines(const std::filesystem::path& data_dir,
                           std::chrono::milliseconds limit = std::chrono::seconds(5));

}  // namespace mainstay::platform
