#include "capabilities/compute/fs.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <algorithm>
#include <fstream>
#include <vector>

#include "base/ids.h"
#include "base/log.h"
#include "base/strings.h"

namespace mainstay::compute {
using base::ErrorCode;

std::unexpected<base::Error> errno_error(std::string_view what, int error) {
  ErrorCode code = ErrorCode::kInternal;
  if (error == ENOENT) code = ErrorCode::kNotFound;
  if (error == EEXIST) code = ErrorCode::kAlreadyExists;
  if (error == ENOSPC || error == EDQUOT || error == ENOMEM || error == EMFILE || error == ENFILE)
    code = ErrorCode::kExhausted;
  if (error == EACCES || error == EPERM) code = ErrorCode::kForbidden;
  return base::fail(code, fmt::format("{}: {}", what, std::strerror(error)));
}

Fd open_in_root(int root, const std::string& path, int flags, mode_t mode) {
  struct open_how how{};
  how.flags = static_cast<std::uint64_t>(flags | O_CLOEXEC);
  how.mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? mode : 0;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  for (int tries = 0;; ++tries) {
    const long fd = ::syscall(SYS_openat2, root, path.empty() ? "." : path.c_str(), &how, sizeof how);
    // EAGAIN: a rename elsewhere disturbed the kernel's check; openat2(2) says to try again.
    if (fd >= 0 || errno != EAGAIN || tries > 100) return Fd(static_cast<int>(fd));
  }
}

base::Result<> write_light(const std::filesystem::path& path, std::string_view content, mode_t mode) {
  const std::string temporary = path.string() + ".tmp" + base::random_hex(4);
  Fd fd(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode));
  if (!fd.ok()) return errno_error("cannot write " + path.string());
  ::fchmod(fd.get(), mode);
  while (!content.empty()) {
    const ssize_t n = ::write(fd.get(), content.data(), content.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      const int error = errno;
      ::unlink(temporary.c_str());
      return errno_error("cannot write " + path.string(), error);
    }
    content.remove_prefix(static_cast<std::size_t>(n));
  }
  if (::rename(temporary.c_str(), path.c_str()) != 0) {
    const int error = errno;
    ::unlink(temporary.c_str());
    return errno_error("cannot write " + path.string(), error);
  }
  return {};
}

std::string slurp(const std::filesystem::path& path, std::size_t max_bytes) {
  Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::string out;
  char buffer[16384];
  while (fd.ok() && out.size() < max_bytes) {
    const ssize_t n = ::read(fd.get(), buffer, std::min(sizeof buffer, max_bytes - out.size()));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    out.append(buffer, static_cast<std::size_t>(n));
  }
  return out;
}

bool put(const std::filesystem::path& path, std::string_view content) {
  Fd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  return fd.ok() && ::write(fd.get(), content.data(), content.size()) == static_cast<ssize_t>(content.size());
}

namespace {

// mountinfo escapes blank, tab, newline and backslash as octal.
std::string unescape(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size()) {
      out += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

}  // namespace

std::vector<std::string> mounts_below(const std::filesystem::path& prefix) {
  std::vector<std::string> out;
  std::ifstream table("/proc/self/mountinfo");
  std::string line;
  const std::string root = prefix.string();
  while (std::getline(table, line)) {
    const auto fields = base::split(line, ' ');
    if (fields.size() < 5) continue;
    std::string point = unescape(fields[4]);
    if (point == root || point.starts_with(root + "/")) out.push_back(std::move(point));
  }
  // Later mounts first: they may lie on or in earlier ones.
  std::ranges::reverse(out);
  return out;
}

void unmount_below(const std::filesystem::path& path) {
  for (const std::string& point : mounts_below(path)) {
    if (::umount2(point.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) != 0 && errno != EINVAL && errno != ENOENT)
      base::log::warn("compute", "cannot unmount {}: {}", point, std::strerror(errno));
  }
}

void remove_tree(const std::filesystem::path& path) {
  unmount_below(path);
  std::error_code error;
  std::filesystem::remove_all(path, error);
  if (error) base::log::warn("compute", "cannot remove {}: {}", path.string(), error.message());
}

}  // namespace mainstay::compute
