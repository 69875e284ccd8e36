#include "async/process_spawn.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/close_range.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <system_error>

#include "base/strings.h"

// TSan expects a clone to have memory of its own, and keeps a table of signal handlers that a child sharing ours would
// change: the C library's other names for these go past it.
#if __has_feature(thread_sanitizer)
extern "C" int __clone(int (*)(void*), void*, int, void*, ...) noexcept;
extern "C" int __sigaction(int, const struct sigaction*, struct sigaction*) noexcept;
#define MAINSTAY_CLONE ::__clone
#define MAINSTAY_SIGACTION ::__sigaction
#else
#define MAINSTAY_CLONE ::clone
#define MAINSTAY_SIGACTION ::sigaction
#endif

namespace mainstay::async {
namespace {

// All the child needs, made ready before the clone: it shares our memory until it executes its program (as posix_spawn
// does it), which spares copying page tables, but allows it nothing that allocates or locks.
struct Plan {
  const char* program = nullptr;
  std::vector<char*> argv, envp;
  const char* directory = nullptr;
  const char* cgroup_procs = nullptr;
  std::vector<std::pair<int, int>> descriptors;  // (ours, the child's)
  std::vector<int> lifted;                       // room for copies out of the way of the child's numbers
  int lowest_free = 3;
  bool new_session = true, die_with_parent = true, terminal = false;
  pid_t parent = 0;
  const std::function<void()>* in_child = nullptr;
  // What went wrong, written by the child.
  int error = 0;
  const char* step = nullptr;
};

bool failed(Plan& plan, const char* step) {
  plan.error = errno;
  plan.step = step;
  return false;
}

bool join_cgroup(Plan& plan) {
  if (!plan.cgroup_procs) return true;
  const int fd = ::open(plan.cgroup_procs, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return failed(plan, "open the cgroup");
  const bool joined = ::write(fd, "0", 1) == 1;
  if (!joined) failed(plan, "join the cgroup");
  ::close(fd);
  return joined;
}

bool arrange_descriptors(Plan& plan) {
  // Whatever somebody forgot to mark is not to reach the child.
  ::close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
  for (std::size_t i = 0; i < plan.descriptors.size(); ++i) {
    plan.lifted[i] = ::fcntl(plan.descriptors[i].first, F_DUPFD_CLOEXEC, plan.lowest_free);
    if (plan.lifted[i] < 0) return failed(plan, "copy a descriptor");
  }
  for (std::size_t i = 0; i < plan.descriptors.size(); ++i) {
    if (::dup2(plan.lifted[i], plan.descriptors[i].second) < 0) return failed(plan, "pass a descriptor");
  }
  return true;
}

void reset_signals() {
  // Handlers of ours go with exec; what is ignored (SIGPIPE) would stay ignored.
  struct sigaction standard{};
  standard.sa_handler = SIG_DFL;
  for (int number : {SIGPIPE, SIGCHLD, SIGINT, SIGTERM, SIGHUP, SIGQUIT})
    MAINSTAY_SIGACTION(number, &standard, nullptr);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

bool prepare(Plan& plan) {
  if (plan.new_session && ::setsid() < 0) return failed(plan, "make a session");
  if (plan.die_with_parent) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (::getppid() != plan.parent) ::_exit(127);  // it died before the call
  }
  if (!join_cgroup(plan) || !arrange_descriptors(plan)) return false;
  if (plan.terminal && ::ioctl(0, TIOCSCTTY, 0) != 0) return failed(plan, "take the terminal");
  if (plan.directory && ::chdir(plan.directory) != 0) return failed(plan, "enter the working directory");
  if (plan.in_child) (*plan.in_child)();
  reset_signals();
  return true;
}

// Without the sanitizers' bookkeeping, which knows nothing of this stack.
__attribute__((no_sanitize("address", "thread", "undefined"))) int child_main(void* argument) {
  Plan& plan = *static_cast<Plan*>(argument);
  if (prepare(plan)) {
    ::execve(plan.program, plan.argv.data(), plan.envp.data());
    failed(plan, "execute");
  }
  ::_exit(127);
}

bool is_executable(const std::string& path) {
  struct stat info{};
  return ::stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode) && ::access(path.c_str(), X_OK) == 0;
}

base::Result<std::string> look_up(const std::string& name, const std::string& path) {
  if (name.empty()) return base::fail(base::ErrorCode::kInvalid, "cannot start a program without a name");
  if (name.find('/') != std::string::npos) return name;
  for (auto folder : base::split(path, ':')) {
    std::string candidate = fmt::format("{}/{}", folder.empty() ? "." : folder, name);
    if (is_executable(candidate)) return candidate;
  }
  return base::fail(base::ErrorCode::kNotFound, fmt::format("program {} not found in PATH; install it", name));
}

// Strings behind the pointers that exec takes.
struct Texts {
  std::string program, directory, cgroup;
  std::vector<std::string> env;
};

void fill_descriptors(Plan& plan, const ProcessOptions& options, const ChildEnds& ends, int null) {
  const auto or_null = [null](int fd) { return fd >= 0 ? fd : null; };
  plan.descriptors = {{or_null(ends.in), 0}, {or_null(ends.out), 1}};
  plan.descriptors.emplace_back(options.merge_stderr ? or_null(ends.out) : or_null(ends.err), 2);
  for (const auto& pair : options.inherit_fds) plan.descriptors.push_back(pair);
  for (const auto& [from, to] : plan.descriptors) plan.lowest_free = std::max(plan.lowest_free, to + 1);
  plan.lifted.resize(plan.descriptors.size());
}

// Clones with all signals blocked, so that none of our handlers runs in the child.
base::Result<Spawned> clone_child(Plan& plan) {
  constexpr std::size_t kStack = 256 * 1024;
  void* stack = ::mmap(nullptr, kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  if (stack == MAP_FAILED) return base::fail(base::ErrorCode::kExhausted, "no memory to start a program");
  sigset_t all, before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  Spawned child;
  child.pid = MAINSTAY_CLONE(child_main, static_cast<char*>(stack) + kStack,
                             CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, &plan, &child.pidfd);
  const int error = errno;
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  ::munmap(stack, kStack);
  if (child.pid < 0) {
    return base::fail(error == EAGAIN || error == ENOMEM || error == EMFILE ? base::ErrorCode::kExhausted
                                                                            : base::ErrorCode::kInternal,
                      fmt::format("cannot start {}: {}", plan.program, std::generic_category().message(error)));
  }
  return child;
}

}  // namespace

base::Result<Spawned> spawn_child(const ProcessOptions& options, const ChildEnds& ends) {
  const char* our_path = std::getenv("PATH");
  const std::string inherited = our_path ? our_path : "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  auto env = options.env;
  env.try_emplace("PATH", inherited);
  Texts texts;
  MAINSTAY_TRY(texts.program, look_up(options.argv.empty() ? "" : options.argv.front(), env["PATH"]));
  Plan plan;
  plan.program = texts.program.c_str();
  for (const auto& argument : options.argv) plan.argv.push_back(const_cast<char*>(argument.c_str()));
  plan.argv.push_back(nullptr);
  for (const auto& [name, value] : env) texts.env.push_back(name + "=" + value);
  for (auto& entry : texts.env) plan.envp.push_back(entry.data());
  plan.envp.push_back(nullptr);
  texts.directory = options.working_directory.string();
  if (!texts.directory.empty()) plan.directory = texts.directory.c_str();
  if (!options.cgroup.empty()) texts.cgroup = (options.cgroup / "cgroup.procs").string();
  if (!texts.cgroup.empty()) plan.cgroup_procs = texts.cgroup.c_str();
  plan.new_session = options.new_session;
  plan.die_with_parent = options.die_with_parent;
  plan.terminal = options.terminal;
  plan.parent = ::getpid();
  if (options.in_child) plan.in_child = &options.in_child;
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null < 0) return base::fail(base::ErrorCode::kExhausted, "cannot open /dev/null");
  fill_descriptors(plan, options, ends, null);
  auto child = clone_child(plan);
  ::close(null);
  if (!child || plan.error == 0) return child;
  // It has not become its program: collect it here and now.
  ::waitpid(child->pid, nullptr, 0);
  ::close(child->pidfd);
  return base::fail(plan.error == ENOENT ? base::ErrorCode::kNotFound : base::ErrorCode::kInternal,
                    fmt::format("cannot start {}: cannot {}: {}", texts.program, plan.step,
                                std::generic_category().message(plan.error)));
}

}  // namespace mainstay::async
