// Engines that are not to run as root: the command runs as a user of its own, who sees the engine's folder as /mnt and
// needs no right on what lies above it (DIR is root's alone).
#pragma once
#include <sys/types.h>

#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"

namespace mainstay::cloud {

struct UserOptions {
  std::filesystem::path archive;  // a further folder, bound at /mnt/archive (which `folder` must have); empty: none
  bool die_with_parent = false;   // changing the user drops what ProcessOptions asked for: it is asked for again
};

// `command` with `folder` bound at /mnt in a mount namespace of its own, as `user`, with no way back to root. The
// process keeps its id throughout. Needs root.
std::vector<std::string> as_user(const std::string& user, const std::filesystem::path& folder,
                                 std::vector<std::string> command, const UserOptions& options = {});

// Whether the process is one that as_user() started in this folder: it sees it as /mnt. A pid file may name a process
// that got the number later. Blocking for a moment.
bool runs_in(pid_t pid, const std::filesystem::path& folder);

// Makes the folder (mode 0700) and gives it to the user; kUnavailable names the package that brings the user where
// there is none. Blocking.
base::Result<> make_folder_for(const std::filesystem::path& folder, const std::string& user,
                               const std::string& package);
// The same for a file that is there. Blocking.
base::Result<> give_to(const std::filesystem::path& path, const std::string& user);

// The first port of [first, last] that nobody listens on at the address. kExhausted. Blocking for a moment.
base::Result<std::uint16_t> free_port(const std::string& address, std::uint16_t first, std::uint16_t last);

}  // namespace mainstay::cloud
