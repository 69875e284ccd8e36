// Garbage collection: blobs that no manifest refers to and nobody linked within a day, uploads left alone, repositories
// of teams that are gone. Safe beside pushes: whoever is about to use a digest has it pinned.
#pragma once
#include <chrono>
#include <memory>
#include <string>

#include "capabilities/artifacts/uploads.h"

namespace mainstay::artifacts {

struct Collected {
  std::size_t links = 0, files = 0, uploads = 0, repositories = 0;
  std::uint64_t bytes = 0;
};

class Collector {
 public:
  Collector(std::shared_ptr<Registry> registry, std::shared_ptr<Uploads> uploads,
            std::function<async::Task<bool>(std::string)> namespace_exists)
      : registry_(std::move(registry)), uploads_(std::move(uploads)), namespace_exists_(std::move(namespace_exists)) {}

  async::Task<Collected> collect(std::chrono::seconds age = std::chrono::hours(24));
  // Removes all of a namespace's repositories: its team is gone.
  async::Task<std::size_t> drop_namespace(std::string ns);
  // Runs collect() every hour until cancelled. `self` keeps it alive.
  static async::Task<> run(std::shared_ptr<Collector> self);

 private:
  async::Task<> unlink_unreferenced(std::string repository, std::int64_t before, Collected& out);
  async::Task<> evict(std::string repository, std::int64_t before);
  async::Task<bool> drop_repository(std::string repository);
  async::Task<> sweep_doubts(Collected& out);

  std::shared_ptr<Registry> registry_;
  std::shared_ptr<Uploads> uploads_;
  std::function<async::Task<bool>(std::string)> namespace_exists_;
  bool running_ = false;
};

}  // namespace mainstay::artifacts
