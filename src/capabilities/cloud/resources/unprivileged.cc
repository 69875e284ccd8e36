#include "capabilities/cloud/resources/unprivileged.h"

#include <arpa/inet.h>
#include <fmt/core.h>
#include <pwd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/files.h"

namespace mainstay::cloud {
namespace fs = std::filesystem;
using base::ErrorCode;
using base::fail;

std::vector<std::string> as_user(const std::string& user, const fs::path& folder, std::vector<std::string> command,
                                 const UserOptions& options) {
  std::vector<std::string> out{"unshare",
                               "--mount",
                               "--propagation",
                               "private",
                               "--",
                               "sh",
                               "-c",
                               "mount --bind \"$1\" /mnt && { [ -z \"$2\" ] || mount --bind \"$2\" /mnt/archive; } && "
                               "cd /mnt && shift 2 && exec \"$@\"",
                               "sh",
                               folder.string(),
                               options.archive.string(),
                               "setpriv",
                               "--reuid=" + user,
                               "--regid=" + user,
                               "--init-groups",
                               "--no-new-privs"};
  if (options.die_with_parent) out.emplace_back("--pdeathsig=KILL");
  out.emplace_back("--");
  out.insert(out.end(), std::make_move_iterator(command.begin()), std::make_move_iterator(command.end()));
  return out;
}

bool runs_in(pid_t pid, const fs::path& folder) {
  struct stat theirs{}, ours{};
  const std::string seen = fmt::format("/proc/{}/root/mnt", pid);
  return pid > 0 && ::stat(seen.c_str(), &theirs) == 0 && ::stat(folder.c_str(), &ours) == 0 &&
         theirs.st_dev == ours.st_dev && theirs.st_ino == ours.st_ino;
}

base::Result<> give_to(const fs::path& path, const std::string& user) {
  char buffer[4096];
  passwd entry{};
  passwd* found = nullptr;
  if (::getpwnam_r(user.c_str(), &entry, buffer, sizeof buffer, &found) != 0 || found == nullptr)
    return fail(ErrorCode::kUnavailable, fmt::format("there is no user {} on this machine", user));
  // Never through a link: the folder is the other user's, who may put one there.
  if (::lchown(path.c_str(), found->pw_uid, found->pw_gid) != 0)
    return fail(ErrorCode::kInternal,
                fmt::format("cannot give {} to {}: {}", path.string(), user, std::strerror(errno)));
  return {};
}

base::Result<> make_folder_for(const fs::path& folder, const std::string& user, const std::string& package) {
  MAINSTAY_TRY_VOID(base::make_directories(folder, 0700));
  if (auto given = give_to(folder, user); !given)
    return fail(given.error().code, given.error().message + ": apt-get install " + package);
  return {};
}

base::Result<std::uint16_t> free_port(const std::string& address, std::uint16_t first, std::uint16_t last) {
  for (std::uint32_t port = first; port <= last; ++port) {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) break;
    const int on = 1;
    ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_port = htons(static_cast<std::uint16_t>(port));
    const bool good = ::inet_pton(AF_INET, address.c_str(), &at.sin_addr) == 1 &&
                      ::bind(fd, reinterpret_cast<sockaddr*>(&at), sizeof at) == 0 && ::listen(fd, 1) == 0;
    ::close(fd);
    if (good) return static_cast<std::uint16_t>(port);
  }
  return fail(ErrorCode::kExhausted, fmt::format("no port of {}:{}-{} is free", address, first, last));
}

}  // namespace mainstay::cloud
