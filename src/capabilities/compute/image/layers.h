// Unpacked layers below DIR/layers/<digest>/fs, each made once and shared by all containers. Thread-safe, blocking:
// pool threads.
#pragma once
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace mainstay::compute {

class LayerStore {
 public:
  explicit LayerStore(std::filesystem::path root);
  // Removes what an unpacking left that was cut off. Once, before ensure().
  base::Result<> open();
  // The directory to mount for the blob `archive` of that digest ("sha256:…"), unpacked where it is not there yet.
  base::Result<std::filesystem::path> ensure(const std::string& digest, const std::filesystem::path& archive);
  bool has(std::string_view digest) const;
  // Removes layers that are not in `used` and were not asked for during the last `age`. Gives how many.
  int collect(const std::set<std::string>& used, std::chrono::seconds age);

 private:
  std::filesystem::path directory(std::string_view digest) const;
  base::Result<> unpack(const std::string& digest, const std::filesystem::path& archive);

  std::filesystem::path root_;
  std::string boot_id_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::set<std::string> under_way_;
};

}  // namespace mainstay::compute
