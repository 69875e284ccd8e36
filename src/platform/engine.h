// A packaged program that Mainstay runs (HAProxy, …): started on first need, supervised, limited in memory.
#pragma once
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "async/process.h"
#include "async/runtime.h"
#include "platform/host.h"

namespace mainstay::platform {

struct EngineOptions {
  std::string name;                       // "haproxy"
  std::vector<std::string> argv;
  std::map<std::string, std::string> env;
  std::uint64_t memory_limit_bytes = 0;   // by cgroup where possible; 0: none
  std::function<async::Task<bool>()> ready;  // asked until true after a start
  std::chrono::milliseconds start_limit{10000};
  int stop_signal = 15;
};

class Engine {
 public:
  Engine(Host& host, EngineOptions options);
  ~Engine();
  async::Task<base::Result<>> start();    // until ready; restarts later with back-off (0.1 s doubling to 10 s), output to the log
  async::Task<> stop();
  bool running() const;
  pid_t pid() const;
  Health health() const;
  void on_restart(std::function<void()> hook);  // after each start but the first

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace mainstay::platform
