#include "capabilities/compute/runtime/spawn.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "capabilities/compute/fs.h"

namespace mainstay::compute {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::size_t kMaxOutput = 64 * 1024;

struct Pipe {
  Fd read, write;
};
base::Result<Pipe> make_pipe() {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC) != 0) return errno_error("cannot make a pipe");
  return Pipe{Fd(fds[0]), Fd(fds[1])};
}

std::vector<char*> pointers(const std::vector<std::string>& list) {
  std::vector<char*> out;
  for (const std::string& s : list) out.push_back(const_cast<char*>(s.c_str()));
  out.push_back(nullptr);
  return out;
}

// stdin is /dev/null; `output` becomes stdout and stderr (-1: /dev/null), `third` descriptor 3 (-1: none). Nothing else
// leaks.
base::Result<pid_t> start(const std::vector<std::string>& argv, const std::vector<std::string>& environment, int output,
                          int third) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawnattr_init(&attributes);
  ::posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  if (output >= 0) {
    ::posix_spawn_file_actions_adddup2(&actions, output, 1);
    ::posix_spawn_file_actions_adddup2(&actions, output, 2);
  } else {
    ::posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    ::posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
  }
  if (third >= 0) ::posix_spawn_file_actions_adddup2(&actions, third, 3);
  ::posix_spawn_file_actions_addclosefrom_np(&actions, third >= 0 ? 4 : 3);
  // What we ignore (SIGPIPE) or block would stay so in the child.
  sigset_t standard, none;
  ::sigfillset(&standard);
  ::sigdelset(&standard, SIGKILL);
  ::sigdelset(&standard, SIGSTOP);
  ::sigemptyset(&none);
  ::posix_spawnattr_setsigdefault(&attributes, &standard);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSID);
  pid_t pid = -1;
  const auto args = pointers(argv), env = pointers(environment);
  const int error = ::posix_spawn(&pid, argv[0].c_str(), &actions, &attributes, args.data(), env.data());
  ::posix_spawn_file_actions_destroy(&actions);
  ::posix_spawnattr_destroy(&attributes);
  if (error != 0) return errno_error("cannot start " + argv[0], error);
  return pid;
}

// Reads until `stop` says so or the end; false: the deadline passed.
template <class Stop>
bool read_until(int fd, Clock::time_point deadline, std::string& out, Stop stop) {
  while (!stop(out)) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
    if (left.count() <= 0) return false;
    struct pollfd p{fd, POLLIN, 0};
    if (::poll(&p, 1, static_cast<int>(std::min<std::int64_t>(left.count(), 60'000))) <= 0) continue;
    char buffer[8192];
    const ssize_t n = ::read(fd, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return true;
    if (out.size() < kMaxOutput)
      out.append(buffer, std::min<std::size_t>(static_cast<std::size_t>(n), kMaxOutput - out.size()));
  }
  return true;
}

int reap(pid_t pid) {
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// Waits through a pidfd, so that the deadline holds also where no pipe tells of the end.
bool ended_by(pid_t pid, Clock::time_point deadline) {
  Fd fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
    struct pollfd p{fd.get(), POLLIN, 0};
    const int n = ::poll(&p, 1, static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, 60'000)));
    if (n > 0) return true;
    if (left.count() <= 0) return false;
  }
}

std::unexpected<base::Error> too_slow(pid_t pid, const std::vector<std::string>& argv,
                                      std::chrono::milliseconds limit) {
  ::kill(-pid, SIGKILL);
  ::kill(pid, SIGKILL);
  reap(pid);
  return base::fail(base::ErrorCode::kTimeout, fmt::format("{} did not answer within {} ms", argv[0], limit.count()));
}

}  // namespace

base::Result<SpawnResult> spawn_and_wait(const std::vector<std::string>& argv, std::chrono::milliseconds limit,
                                         const std::vector<std::string>& environment) {
  const auto deadline = Clock::now() + limit;
  MAINSTAY_TRY(Pipe pipe, make_pipe());
  MAINSTAY_TRY(const pid_t pid, start(argv, environment, pipe.write.get(), -1));
  pipe.write.reset();
  SpawnResult out;
  if (!read_until(pipe.read.get(), deadline, out.output, [](const std::string&) { return false; }) ||
      !ended_by(pid, deadline))
    return too_slow(pid, argv, limit);
  out.code = reap(pid);
  return out;
}

base::Result<std::string> spawn_and_read_line(const std::vector<std::string>& argv, std::chrono::milliseconds limit,
                                              const std::vector<std::string>& environment) {
  const auto deadline = Clock::now() + limit;
  MAINSTAY_TRY(Pipe pipe, make_pipe());
  MAINSTAY_TRY(const pid_t pid, start(argv, environment, -1, pipe.write.get()));
  pipe.write.reset();
  std::string line;
  const bool answered = read_until(pipe.read.get(), deadline, line,
                                   [](const std::string& s) { return s.find('\n') != std::string::npos; });
  if (!answered || !ended_by(pid, deadline)) return too_slow(pid, argv, limit);
  reap(pid);
  return line.substr(0, line.find('\n'));
}

base::Result<int> spawn(const std::vector<std::string>& argv) { return start(argv, {}, -1, -1); }

}  // namespace mainstay::compute
