// Follows the CRI log files that compute writes, and keeps their lines. On the loop.
#pragma once
#include <map>
#include <memory>
#include <string>

#include "async/file_watch.h"
#include "async/runtime.h"
#include "async/sync.h"
#include "base/metrics.h"
#include "capabilities/observe/log_store.h"
#include "platform/interfaces/logs.h"

namespace mainstay::observe {

class Collector final : public platform::LogCollector, public std::enable_shared_from_this<Collector> {
 public:
  Collector(async::Runtime& runtime, async::TaskGroup& tasks, std::shared_ptr<LogStore> store, base::Metrics& metrics);
  base::Result<> start();
  void follow(platform::ContainerLog log) override;
  async::Task<> finish(std::filesystem::path file) override;
  std::size_t following() const { return files_.size(); }

 private:
  struct File {
    platform::ContainerLog log;
    std::uint64_t offset = 0;
    std::string partial;  // lines that CRI cut (tag P), until their last part
    std::int64_t partial_us = 0;
    bool dirty = true, finishing = false, done = false;
    std::unique_ptr<async::Event> changed;
  };
  static async::Task<> watch_files(std::shared_ptr<Collector> self);
  static async::Task<> pump(std::shared_ptr<Collector> self, std::shared_ptr<File> file);
  // Reads once from the offset; true where there may be more.
  static async::Task<bool> read_some(std::shared_ptr<Collector> self, std::shared_ptr<File> file);

  async::Runtime& runtime_;
  async::TaskGroup& tasks_;
  std::shared_ptr<LogStore> store_;
  std::unique_ptr<async::FileWatch> watch_;
  std::map<std::filesystem::path, std::shared_ptr<File>> files_;
  base::Counter& lines_;
  base::Counter& errors_;
};

}  // namespace mainstay::observe
