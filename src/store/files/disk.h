// Internal to store/files/: descriptors, and system errors as sentences.
#pragma once
#include <unistd.h>

#include <filesystem>
#include <string_view>
#include <utility>

#include "base/result.h"

namespace mainstay::store {

class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_;
};

// `error` is an errno. No room is kExhausted and says how full the disk is; no such file is kNotFound.
std::unexpected<base::Error> disk_error(std::string_view doing, const std::filesystem::path& path, int error);

base::Result<Descriptor> open_file(const std::filesystem::path& path, int flags, unsigned mode = 0600);
base::Result<> write_all(int fd, std::string_view bytes, const std::filesystem::path& path);
base::Result<> sync_file(int fd, const std::filesystem::path& path);
base::Result<> sync_directory(const std::filesystem::path& path);
// A directory and its parents, each durable when it returns.
base::Result<> make_directory(const std::filesystem::path& path);

}  // namespace mainstay::store
