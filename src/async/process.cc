#include "async/process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <csignal>
#include <cstdlib>
#include <optional>
#include <system_error>

#include "async/children.h"
#include "async/process_spawn.h"
#include "async/suspend.h"
#include "async/sync.h"

namespace mainstay::async {
namespace asio = boost::asio;
using Descriptor = asio::posix::stream_descriptor;

struct Process::Impl : std::enable_shared_from_this<Process::Impl> {
  Impl(const Executor& e, Spawned child, bool has_group)
      : executor(e), pid(child.pid), group(has_group), pidfd(e, child.pidfd), ended(e) {}

  Executor executor;
  pid_t pid;
  bool group;
  Descriptor pidfd;
  std::optional<Descriptor> in, out, err;
  Event ended;
  std::optional<ExitStatus> status;
  bool released = false;

  // The wait keeps this object until the child has been reaped, also when its Process has gone.
  void watch() {
    pidfd.async_wait(Descriptor::wait_read, [self = shared_from_this()](const boost::system::error_code& error) {
      if (!error) self->reap();
    });
  }

  void reap() {
    siginfo_t info{};
    if (status || ::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG) != 0 || info.si_pid == 0) return;
    status = ExitStatus{info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status};
    release_child(pid);
    pidfd.close();
    ended.notify_all();
  }

  void signal(int number) {
    if (status) return;  // the number may belong to another by now
    if (group) {
      ::kill(-pid, number);
    } else {
      ::syscall(SYS_pidfd_send_signal, pidfd.native_handle(), number, nullptr, 0);
    }
  }

  static Task<std::size_t> read(std::shared_ptr<Impl> self, bool error_output, std::span<char> buffer) {
    MAINSTAY_CHECK_CANCELLED();
    auto& from = error_output ? self->err : self->out;
    if (!from || buffer.empty()) co_return 0;
    auto [error, n] =
        co_await from->async_read_some(asio::buffer(buffer.data(), buffer.size()), asio::as_tuple(asio::use_awaitable));
    if (error == asio::error::operation_aborted) throw Cancelled();
    co_return error ? 0 : n;
  }

  static Task<bool> write(std::shared_ptr<Impl> self, std::string_view data) {
    MAINSTAY_CHECK_CANCELLED();
    if (!self->in || !self->in->is_open()) co_return false;
    auto [error, n] = co_await asio::async_write(*self->in, asio::buffer(data), asio::as_tuple(asio::use_awaitable));
    if (error == asio::error::operation_aborted) throw Cancelled();
    co_return !error;
  }
};

namespace {

// A pipe whose ends are closed with it; take() gives one away.
class Pipe {
 public:
  Pipe() = default;
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  ~Pipe() {
    for (int fd : ends_) {
      if (fd >= 0) ::close(fd);
    }
  }
  bool open() { return ::pipe2(ends_, O_CLOEXEC) == 0; }
  // A pseudo-terminal in place of a pipe: the child's side is the write end, ours the read end (and, copied, what is
  // written to).
  bool open_terminal() {
    ends_[0] = ::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    char name[64];
    if (ends_[0] < 0 || ::grantpt(ends_[0]) != 0 || ::unlockpt(ends_[0]) != 0 ||
        ::ptsname_r(ends_[0], name, sizeof name) != 0)
      return false;
    ends_[1] = ::open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    return ends_[1] >= 0;
  }
  int read_end() const { return ends_[0]; }
  int write_end() const { return ends_[1]; }
  int take(int which) { return std::exchange(ends_[which], -1); }

 private:
  int ends_[2] = {-1, -1};
};

}  // namespace

base::Result<std::unique_ptr<Process>> Process::start(Executor executor, ProcessOptions options) {
  if (options.terminal) return start_in_terminal(std::move(executor), std::move(options));
  Pipe in, out, err;
  const bool separate_error = options.pipe_stderr && !options.merge_stderr;
  if ((options.pipe_stdin && !in.open()) || (options.pipe_stdout && !out.open()) || (separate_error && !err.open())) {
    return base::fail(base::ErrorCode::kExhausted,
                      fmt::format("cannot make a pipe: {}", std::generic_category().message(errno)));
  }
  MAINSTAY_TRY(const Spawned child, spawn_child(options, ChildEnds{in.read_end(), out.write_end(), err.write_end()}));
  claim_child(child.pid);
  auto impl = std::make_shared<Impl>(executor, child, options.new_session);
  if (options.pipe_stdin) impl->in.emplace(executor, in.take(1));
  if (options.pipe_stdout) impl->out.emplace(executor, out.take(0));
  if (separate_error) impl->err.emplace(executor, err.take(0));
  impl->watch();
  return std::unique_ptr<Process>(new Process(std::move(impl)));
}

Process::Process(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

Process::~Process() {
  if (!impl_->released) impl_->signal(SIGKILL);
  impl_->in.reset();
  impl_->out.reset();
  impl_->err.reset();
  // Reaped by watch() once the kernel is done with it: a process in the middle of I/O does not hold up the loop.
}

void Process::release() { impl_->released = true; }

pid_t Process::pid() const { return impl_->pid; }

Task<ExitStatus> Process::wait() {
  const auto impl = impl_;
  while (!impl->status) co_await impl->ended.wait();
  co_return *impl->status;
}

void Process::kill(int signal) { impl_->signal(signal); }
Task<std::size_t> Process::read_stdout(std::span<char> buffer) { return Impl::read(impl_, false, buffer); }
Task<std::size_t> Process::read_stderr(std::span<char> buffer) { return Impl::read(impl_, true, buffer); }
Task<bool> Process::write_stdin(std::string_view data) { return Impl::write(impl_, data); }
void Process::close_stdin() { impl_->in.reset(); }

base::Result<std::unique_ptr<Process>> Process::start_in_terminal(Executor executor, ProcessOptions options) {
  Pipe terminal;
  const auto no_terminal = [] {
    return base::fail(base::ErrorCode::kExhausted,
                      fmt::format("cannot make a terminal: {}", std::generic_category().message(errno)));
  };
  if (!terminal.open_terminal()) return no_terminal();
  const int side = terminal.write_end();
  MAINSTAY_TRY(const Spawned child, spawn_child(options, ChildEnds{side, side, side}));
  claim_child(child.pid);
  auto impl = std::make_shared<Impl>(executor, child, true);
  const int copy = ::fcntl(terminal.read_end(), F_DUPFD_CLOEXEC, 3);
  if (copy >= 0) impl->in.emplace(executor, copy);
  impl->out.emplace(executor, terminal.take(0));
  impl->watch();
  auto process = std::unique_ptr<Process>(new Process(std::move(impl)));
  if (copy < 0) return no_terminal();
  return process;
}

void Process::resize(std::uint16_t columns, std::uint16_t rows) {
  const winsize size{rows, columns, 0, 0};
  // Fails where the terminal has been closed or is none: then there is nothing to draw on.
  if (impl_->out) ::ioctl(impl_->out->native_handle(), TIOCSWINSZ, &size);
}

namespace {

struct Running {
  std::unique_ptr<Process> process;
  std::string input;
  std::size_t max_output;
  ProcessOutput output;
  int draining = 2;
  Event drained;
  TaskGroup group;

  Running(Executor executor, std::unique_ptr<Process> p, std::string i, std::size_t max)
      : process(std::move(p)),
        input(std::move(i)),
        max_output(max),
        drained(executor),
        group(executor, "run_process") {}
};

Task<> feed(std::shared_ptr<Running> run) {
  co_await run->process->write_stdin(run->input);
  run->process->close_stdin();
}

Task<> drain(std::shared_ptr<Running> run, bool error_output) {
  std::string& into = error_output ? run->output.err : run->output.out;
  std::vector<char> buffer(64 * 1024);
  for (;;) {
    const std::size_t n =
        error_output ? co_await run->process->read_stderr(buffer) : co_await run->process->read_stdout(buffer);
    if (n == 0) break;
    into.append(buffer.data(), std::min(n, run->max_output - into.size()));  // the rest is read and dropped
  }
  --run->draining;
  run->drained.notify_all();
}

Task<> to_the_end(std::shared_ptr<Running> run) {
  run->output.status = co_await run->process->wait();
  // What it left running in the background may hold the pipes for ever: it gets a moment, no more.
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(2);
  while (run->draining > 0) {
    if (!co_await run->drained.wait_for(deadline - std::chrono::steady_clock::now())) co_return;
  }
}

}  // namespace

Task<base::Result<ProcessOutput>> run_process(ProcessOptions options, std::string input, std::chrono::nanoseconds limit,
                                              std::size_t max_output) {
  MAINSTAY_CHECK_CANCELLED();
  const Executor executor = co_await asio::this_coro::executor;
  options.pipe_stdin = !input.empty();
  const std::string name = options.argv.empty() ? "" : options.argv.front();
  MAINSTAY_CO_TRY(auto process, Process::start(executor, std::move(options)));
  auto run = std::make_shared<Running>(executor, std::move(process), std::move(input), max_output);
  if (!run->input.empty()) run->group.spawn("stdin", feed(run));
  run->group.spawn("stdout", drain(run, false));
  run->group.spawn("stderr", drain(run, true));
  bool finished = false;
  std::exception_ptr error;
  try {
    finished = co_await with_timeout(to_the_end(run), limit);
  } catch (...) {
    error = std::current_exception();
  }
  if (!finished) run->process->kill(SIGKILL);
  run->group.cancel();
  co_await run->group.join();
  if (error) std::rethrow_exception(error);
  if (!finished) {
    co_return base::fail(base::ErrorCode::kTimeout, fmt::format("{} did not end within {:.1f} s", name,
                                                                std::chrono::duration<double>(limit).count()));
  }
  co_return std::move(run->output);
}

}  // namespace mainstay::async
