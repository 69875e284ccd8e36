// Descriptors and small file operations shared by the node agent's blocking parts.
#pragma once
#include <sys/types.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace mainstay::compute {

class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Fd() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }
  bool ok() const { return fd_ >= 0; }
  void reset() { Fd().swap(*this); }
  void swap(Fd& other) { std::swap(fd_, other.fd_); }

 private:
  int fd_ = -1;
};

// "what: No such file or directory", with the code that fits errno.
std::unexpected<base::Error> errno_error(std::string_view what, int error = errno);

// openat2(2) with RESOLVE_IN_ROOT: `path` never leads out of the directory `root`, whatever links are on the way.
Fd open_in_root(int root, const std::string& path, int flags, mode_t mode = 0);

// Replaces `path` by rename, without fsync: for state that only has to survive this process, not the machine.
base::Result<> write_light(const std::filesystem::path& path, std::string_view content, mode_t mode = 0600);
// A small file's content, or "".
std::string slurp(const std::filesystem::path& path, std::size_t max_bytes = 1u << 20);
// Writes to an existing file (/proc, /sys) in one go.
bool put(const std::filesystem::path& path, std::string_view content);

// Unmounts `path` and everything below it, lazily; not mounted is fine.
void unmount_below(const std::filesystem::path& path);
// Mount points below `prefix` (itself included), deepest first.
std::vector<std::string> mounts_below(const std::filesystem::path& prefix);
// Deletes a tree without crossing into mounts (they are unmounted first) and without following links.
void remove_tree(const std::filesystem::path& path);

}  // namespace mainstay::compute
