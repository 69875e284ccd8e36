#include "base/files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>

#include "base/ids.h"

namespace mainstay::base {
namespace {

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

std::unexpected<Error> failed(std::string_view what, const std::filesystem::path& path, int error) {
  ErrorCode code = ErrorCode::kInternal;
  if (error == ENOENT || error == ENOTDIR) code = ErrorCode::kNotFound;
  if (error == EACCES || error == EPERM || error == EROFS) code = ErrorCode::kForbidden;
  if (error == ENOSPC || error == EDQUOT || error == EMFILE || error == ENFILE) code = ErrorCode::kExhausted;
  return fail(code, fmt::format("{} {}: {}", what, path.string(), std::generic_category().message(error)));
}

Result<> write_all(int fd, std::string_view content, const std::filesystem::path& path) {
  while (!content.empty()) {
    const ssize_t n = ::write(fd, content.data(), content.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return failed("cannot write", path, errno);
    content.remove_prefix(static_cast<std::size_t>(n));
  }
  return {};
}

Result<> sync_folder(const std::filesystem::path& folder) {
  const Descriptor fd(::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd.get() < 0) return failed("cannot open", folder, errno);
  if (::fsync(fd.get()) != 0) return failed("cannot sync", folder, errno);
  return {};
}

}  // namespace

Result<std::string> read_file(const std::filesystem::path& path, std::size_t max_bytes) {
  const Descriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd.get() < 0) return failed("cannot open", path, errno);
  struct stat info{};
  if (::fstat(fd.get(), &info) != 0) return failed("cannot examine", path, errno);
  std::string content;
  // A size of 0 says nothing about files in /proc: read those until they end.
  std::size_t chunk = info.st_size > 0 ? static_cast<std::size_t>(info.st_size) + 1 : 4096;
  for (;;) {
    const std::size_t done = content.size();
    if (done > max_bytes) {
      return fail(ErrorCode::kTooLarge, fmt::format("{} is larger than {} bytes", path.string(), max_bytes));
    }
    content.resize(done + std::min(chunk, max_bytes - done + 1));
    const ssize_t n = ::read(fd.get(), content.data() + done, content.size() - done);
    if (n < 0 && errno != EINTR) return failed("cannot read", path, errno);
    content.resize(done + static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
    if (n == 0) return content;
    chunk = std::max<std::size_t>(4096, std::min<std::size_t>(content.size(), 1u << 20));
  }
}

Result<> write_file(const std::filesystem::path& path, std::string_view content, unsigned mode) {
  const auto temporary = path.parent_path() / fmt::format(".{}.{}.tmp", path.filename().string(), random_hex(4));
  auto write = [&]() -> Result<> {
    const Descriptor fd(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (fd.get() < 0) return failed("cannot create", temporary, errno);
    if (::fchmod(fd.get(), mode) != 0) return failed("cannot set the mode of", temporary, errno);  // whatever the umask
    MAINSTAY_TRY_VOID(write_all(fd.get(), content, path));
    if (::fsync(fd.get()) != 0) return failed("cannot sync", temporary, errno);
    if (::rename(temporary.c_str(), path.c_str()) != 0) return failed("cannot replace", path, errno);
    return {};
  };
  if (auto done = write(); !done) {
    ::unlink(temporary.c_str());
    return done;
  }
  return sync_folder(path.parent_path());
}

Result<> make_directories(const std::filesystem::path& path, unsigned mode) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) return {};
  if (path.has_parent_path() && path.parent_path() != path) {
    MAINSTAY_TRY_VOID(make_directories(path.parent_path(), mode));
  }
  if (path.filename().empty()) return {};  // "a/b/" has made "a/b" by now
  if (::mkdir(path.c_str(), mode) != 0 && errno != EEXIST) return failed("cannot make the directory", path, errno);
  if (!std::filesystem::is_directory(path, error)) return failed("cannot make the directory", path, ENOTDIR);
  return {};
}

}  // namespace mainstay::base
