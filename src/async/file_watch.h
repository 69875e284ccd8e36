// Changes to files and folders as they happen (inotify(7)), so that nobody has to look again and again.
#pragma once
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "async/task.h"
#include "base/result.h"

namespace mainstay::async {

struct FileChange {
  enum Kind : std::uint32_t {
    kModified = 1,  // written to
    kClosed = 2,    // closed after writing
    kCreated = 4,   // an entry appeared in the folder (also by a rename into it)
    kRemoved = 8,   // an entry, or the file itself, is gone (also by a rename)
    kOverflow = 16  // more came than the kernel keeps: look at everything again
  };
  std::uint32_t kind = 0;
  std::filesystem::path path;  // what was given to add(), with the entry's name below a folder; empty on overflow
};

// On the loop only.
class FileWatch {
 public:
  // After each look at what came it rests for `gather`: a file written thousands of times a second then costs a few
  // wake-ups a second, and news comes at most that much later.
  static base::Result<std::unique_ptr<FileWatch>> open(Executor executor,
                                                       std::chrono::milliseconds gather = std::chrono::milliseconds(0));
  ~FileWatch();
  // Watches a file or a folder's entries (not deeper) for the kinds given. Again for the same path: replaces the kinds.
  base::Result<> add(const std::filesystem::path& path, std::uint32_t kinds);
  void remove(const std::filesystem::path& path);
  // The next changes, at least one; in order. One caller at a time.
  Task<std::vector<FileChange>> next();

 private:
  struct Impl;
  explicit FileWatch(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

}  // namespace mainstay::async
