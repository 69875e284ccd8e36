#include "store/files/disk.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <cerrno>
#include <cstring>

namespace mainstay::store {
namespace {

using base::ErrorCode;
using base::fail;

std::string fullness(const std::filesystem::path& path) {
  struct statvfs disk{};
  if (::statvfs(path.parent_path().c_str(), &disk) != 0) return "";
  const double unit = static_cast<double>(disk.f_frsize) / (1u << 20);
  return fmt::format(" ({:.0f} MiB free of {:.0f} MiB)", static_cast<double>(disk.f_bavail) * unit,
                     static_cast<double>(disk.f_blocks) * unit);
}

}  // namespace

std::unexpected<base::Error> disk_error(std::string_view doing, const std::filesystem::path& path, int error) {
  if (error == ENOSPC || error == EDQUOT || error == EFBIG)
    return fail(ErrorCode::kExhausted,
                fmt::format("cannot {}: the disk that holds {} is full{}; free some space and try again", doing,
                            path.parent_path().string(), fullness(path)));
  const ErrorCode code = error == ENOENT ? ErrorCode::kNotFound : ErrorCode::kUnavailable;
  return fail(code, fmt::format("cannot {} {}: {}", doing, path.string(), std::strerror(error)));
}

base::Result<Descriptor> open_file(const std::filesystem::path& path, int flags, unsigned mode) {
  Descriptor fd(::open(path.c_str(), flags | O_CLOEXEC, mode));
  if (!fd) return disk_error("open", path, errno);
  return fd;
}

base::Result<> write_all(int fd, std::string_view bytes, const std::filesystem::path& path) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return disk_error("write", path, errno);
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return {};
}

base::Result<> sync_file(int fd, const std::filesystem::path& path) {
  if (::fsync(fd) != 0) return disk_error("write", path, errno);
  return {};
}

base::Result<> sync_directory(const std::filesystem::path& path) {
  MAINSTAY_TRY(const Descriptor fd, open_file(path, O_RDONLY | O_DIRECTORY));
  return sync_file(fd.get(), path);
}

base::Result<> make_directory(const std::filesystem::path& path) {
  if (::mkdir(path.c_str(), 0700) == 0) return sync_directory(path.parent_path());
  if (errno == EEXIST) return {};
  if (errno != ENOENT || !path.has_parent_path() || path.parent_path() == path) return disk_error("make", path, errno);
  MAINSTAY_TRY_VOID(make_directory(path.parent_path()));
  return make_directory(path);
}

}  // namespace mainstay::store
