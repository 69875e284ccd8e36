#include "capabilities/source/hook.h"

#include <sys/wait.h>
#include <unistd.h>

#include "capabilities/source/git_test_tree.h"

namespace mainstay::source {
namespace {

// Runs the hook as git would: in the repository, commands on standard input. Its words go to `said`.
int run_hook(const Scratch& scratch, const std::string& repository, const std::string& input, std::string* said) {
  const auto in = scratch.dir() / "hook.in", out = scratch.dir() / "hook.out";
  EXPECT_TRUE(base::write_file(in, input));
  const pid_t pid = ::fork();
  if (pid == 0) {
    if (::chdir((scratch.dir() / repository).c_str()) != 0 || std::freopen(in.c_str(), "r", stdin) == nullptr ||
        std::freopen(out.c_str(), "w", stderr) == nullptr)
      ::_exit(99);
    ::setenv("MAINSTAY_PROTECTED", "main\nrelease/*", 1);
    char hook[] = "hook", name[] = "pre-receive";
    char* argv[] = {hook, name, nullptr};
    const int result = hook_main(2, argv);
    std::fflush(stderr);
    ::_exit(result);
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  *said = base::read_file(out).value_or("");
  return WEXITSTATUS(status);
}

TEST(Hook, ProtectsBranches) {
  const Scratch scratch;
  scratch.sh(
      "git init -q -b main work && cd work && git commit -q --allow-empty -m one && git commit -q --allow-empty -m "
      "two");
  const std::string one = scratch.sha("work", "HEAD~"), two = scratch.sha("work"), zero(40, '0');
  std::string said;
  EXPECT_EQ(run_hook(scratch, "work", one + " " + two + " refs/heads/main\n", &said), 0) << said;
  EXPECT_EQ(run_hook(scratch, "work", zero + " " + two + " refs/heads/main\n", &said), 0) << said;
  EXPECT_EQ(run_hook(scratch, "work", two + " " + one + " refs/heads/main\n", &said), 1);
  EXPECT_TRUE(said.contains("cannot be rewritten")) << said;
  EXPECT_EQ(run_hook(scratch, "work", two + " " + zero + " refs/heads/release/1\n", &said), 1);
  EXPECT_TRUE(said.contains("release/1 is protected")) << said;
  EXPECT_EQ(run_hook(scratch, "work", two + " " + one + " refs/heads/other\n", &said), 0) << said;
}

TEST(Hook, KnowsOnlyItsOwn) {
  char hook[] = "hook", name[] = "update";
  char* argv[] = {hook, name, nullptr};
  EXPECT_EQ(hook_main(2, argv), 2);
}

}  // namespace
}  // namespace mainstay::source
