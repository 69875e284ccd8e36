#include "capabilities/source/hook.h"

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <string>

#include "base/strings.h"
#include "capabilities/source/git.h"
#include "capabilities/source/refs.h"

namespace mainstay::source {
namespace {

// Whether `before` is an ancestor of `after`. git's environment (quarantine included) is ours to pass on.
bool fast_forward(const std::string& before, const std::string& after) {
  const char* argv[] = {"git", "merge-base", "--is-ancestor", before.c_str(), after.c_str(), nullptr};
  pid_t pid = 0;
  if (::posix_spawnp(&pid, "git", nullptr, nullptr, const_cast<char**>(argv), environ) != 0) return false;
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0)
    if (errno != EINTR) return false;
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

int pre_receive() {
  const char* patterns = std::getenv("MAINSTAY_PROTECTED");
  if (patterns == nullptr) return 0;
  bool refused = false;
  std::string before, after, ref;
  while (std::cin >> before >> after >> ref) {
    if (!ref.starts_with("refs/heads/") || is_zero_id(before)) continue;
    const std::string branch = ref.substr(11);
    for (std::string_view pattern : base::split(patterns, '\n')) {
      if (!branch_matches(pattern, branch)) continue;
      if (is_zero_id(after)) {
        std::fprintf(stderr, "%s is protected (spec.protectedBranches): it cannot be deleted\n", branch.c_str());
        refused = true;
      } else if (!fast_forward(before, after)) {
        std::fprintf(
            stderr,
            "%s is protected (spec.protectedBranches): it cannot be rewritten; merge what is there and push again\n",
            branch.c_str());
        refused = true;
      }
      break;
    }
  }
  return refused ? 1 : 0;
}

}  // namespace

int hook_main(int argc, char** argv) {
  const std::string_view name = argc > 1 ? argv[1] : "";
  if (name == "pre-receive") return pre_receive();
  std::fprintf(stderr, "mainstay hook: git starts this during a push; there is no hook \"%.*s\"\n",
               static_cast<int>(name.size()), name.data());
  return 2;
}

}  // namespace mainstay::source
