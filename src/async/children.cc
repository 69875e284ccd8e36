#include "async/children.h"

#include <sys/prctl.h>
#include <sys/wait.h>

#include <csignal>
#include <fstream>
#include <mutex>
#include <set>

namespace mainstay::async {
namespace {

struct Claims {
  std::mutex mutex;
  std::set<pid_t> pids;
};
Claims& claims() {
  static Claims* const all = new Claims;  // never destroyed: threads may outlive main
  return *all;
}

}  // namespace

void claim_child(pid_t pid) {
  const std::lock_guard lock(claims().mutex);
  claims().pids.insert(pid);
}

void release_child(pid_t pid) {
  const std::lock_guard lock(claims().mutex);
  claims().pids.erase(pid);
}

OrphanReaper::OrphanReaper(boost::asio::io_context& loop) : signals_(loop), timer_(loop) {
  ::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  signals_.add(SIGCHLD);
  // Asio's handler with SA_RESTART: blocking calls in the pool are not to fail with EINTR whenever some child ends.
  struct sigaction action{};
  ::sigaction(SIGCHLD, nullptr, &action);
  action.sa_flags |= SA_RESTART | SA_NOCLDSTOP;
  ::sigaction(SIGCHLD, &action, nullptr);
  await_signal();
}

void OrphanReaper::await_signal() {
  signals_.async_wait([this](const boost::system::error_code& error, int) {
    if (error) return;
    schedule();
    await_signal();
  });
}

void OrphanReaper::schedule() {
  if (scheduled_) return;
  scheduled_ = true;
  // Later, and once for a burst: a zombie does no harm for a second, and looking for it costs a walk through /proc.
  timer_.expires_after(std::chrono::seconds(1));
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (error) return;
    scheduled_ = false;
    sweep();
  });
}

void OrphanReaper::sweep() {
  // Orphans come to the main thread, and so do all Processes' children: they start on the loop.
  std::ifstream children("/proc/self/task/" + std::to_string(::getpid()) + "/children");
  const std::lock_guard lock(claims().mutex);
  for (pid_t pid = 0; children >> pid;) {
    if (!claims().pids.contains(pid)) ::waitpid(pid, nullptr, WNOHANG);
  }
}

}  // namespace mainstay::async
