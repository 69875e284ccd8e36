// How git is run: where repositories are, the settings every command gets, and an environment that leaks nothing.
#pragma once
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "async/process.h"
#include "base/result.h"

namespace mainstay::source {

// The longest repository name: run, pod and job names are made from it and must stay DNS labels.
inline constexpr std::size_t kMaxRepositoryName = 40;
// The largest pack and the largest push in bytes.
inline constexpr std::uint64_t kMaxPush = 2ull << 30;

// A DNS label of at most kMaxRepositoryName characters: safe as a file name, in a URL and as a prefix of object names.
base::Result<> check_repository_name(std::string_view name);
// 40 or 64 lower-case hex digits.
bool is_object_id(std::string_view text);
inline bool is_zero_id(std::string_view id) { return id.find_first_not_of('0') == std::string_view::npos; }
// A branch name that git accepts (git-check-ref-format(1)), for names that people write into objects.
bool is_branch_name(std::string_view name);

class Git {
 public:
  // `root`: DIR/git. `binary`: this program, for hooks.
  Git(std::filesystem::path root, std::filesystem::path binary) : root_(std::move(root)), binary_(std::move(binary)) {}

  const std::filesystem::path& root() const { return root_; }
  std::filesystem::path hooks() const { return root_ / "hooks"; }
  // Where the repository is or would be. kInvalid for names that are not safe as file names.
  base::Result<std::filesystem::path> path(std::string_view ns, std::string_view name) const;
  // The same where it exists; kNotFound.
  base::Result<std::filesystem::path> existing(std::string_view ns, std::string_view name) const;

  // `git <arguments>` with our settings in place of the machine's. `protocol`: the client's Git-Protocol header, passed
  // on where it is harmless. Patterns in `protected_branches` switch the pre-receive hook on.
  async::ProcessOptions command(std::vector<std::string> arguments, std::string_view protocol = "",
                                const std::vector<std::string>& protected_branches = {}) const;

  // Creates the folders and the hook. Blocking; once, at start.
  base::Result<> prepare() const;
  // Makes an empty bare repository, whole or not at all.
  async::Task<base::Result<>> create(std::string ns, std::string name, std::string default_branch) const;
  // Moves it aside and deletes it. Blocking. A missing one is fine.
  base::Result<> remove(std::string_view ns, std::string_view name) const;
  // Points HEAD at the branch, which need not exist. Blocking.
  base::Result<> set_head(const std::filesystem::path& repository, std::string_view branch) const;

 private:
  std::filesystem::path root_, binary_;
};

// The Git-Protocol header's value where it is of the form git itself sends ("version=2", "version=2:key=value"), else
// "".
std::string safe_protocol(std::string_view header);

}  // namespace mainstay::source
