#include "net/port_holder.h"

#include <fmt/format.h>

#include <charconv>
#include <filesystem>
#include <set>
#include <sstream>

#include "base/files.h"
#include "base/strings.h"

namespace mainstay::net {
namespace {

// The socket inodes that listen on the port, from /proc/net/tcp and tcp6 (proc(5)): "sl local:port remote:port st …
// inode".
std::set<std::string> listening_inodes(std::uint16_t port) {
  std::set<std::string> out;
  for (const char* table : {"/proc/net/tcp", "/proc/net/tcp6"}) {
    const auto text = base::read_file(table);
    if (!text) continue;
    for (auto line : base::split(*text, '\n')) {
      std::istringstream fields{std::string(line)};
      std::string number, local, remote, state, skip, inode;
      fields >> number >> local >> remote >> state >> skip >> skip >> skip >> skip >> skip >> inode;
      const auto colon = local.rfind(':');
      if (state != "0A" || colon == std::string::npos) continue;
      std::uint16_t found = 0;
      std::from_chars(local.data() + colon + 1, local.data() + local.size(), found, 16);
      if (found == port) out.insert(fmt::format("socket:[{}]", inode));
    }
  }
  return out;
}

}  // namespace

std::string port_holder(std::uint16_t port) {
  namespace fs = std::filesystem;
  const auto inodes = listening_inodes(port);
  if (inodes.empty()) return {};
  std::error_code error;
  for (fs::directory_iterator process("/proc", error), end; !error && process != end; process.increment(error)) {
    const std::string pid = process->path().filename();
    if (pid.find_first_not_of("0123456789") != std::string::npos) continue;
    std::error_code hidden;  // other users' processes, and those that end meanwhile
    for (fs::directory_iterator fd(process->path() / "fd", hidden), last; !hidden && fd != last; fd.increment(hidden)) {
      const auto target = fs::read_symlink(fd->path(), hidden);
      if (hidden) {
        hidden.clear();
        continue;
      }
      if (!inodes.contains(target.string())) continue;
      const auto name = base::read_file(process->path() / "comm", 256);
      return fmt::format("{} (pid {})", name ? base::trim(*name) : "a process", pid);
    }
  }
  return {};
}

}  // namespace mainstay::net
