#include "async/foreign_process.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <system_error>

#include "async/sync.h"

namespace mainstay::async {
using Descriptor = boost::asio::posix::stream_descriptor;

struct ForeignProcess::Impl : std::enable_shared_from_this<ForeignProcess::Impl> {
  Impl(const Executor& executor, pid_t p, int fd) : pid(p), pidfd(executor, fd), changed(executor) {}

  pid_t pid;
  Descriptor pidfd;
  Event changed;
  bool gone = false;

  void watch() {
    pidfd.async_wait(Descriptor::wait_read, [self = shared_from_this()](const boost::system::error_code& error) {
      if (error) return;  // closed by the destructor
      self->gone = true;
      self->pidfd.close();
      self->changed.notify_all();
    });
  }
};

base::Result<std::unique_ptr<ForeignProcess>> ForeignProcess::open(Executor executor, pid_t pid) {
  const int fd = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
  if (fd < 0) {
    return base::fail(errno == ESRCH ? base::ErrorCode::kNotFound : base::ErrorCode::kInternal,
                      fmt::format("process {}: {}", pid, std::generic_category().message(errno)));
  }
  pollfd state{fd, POLLIN, 0};
  if (::poll(&state, 1, 0) == 1) {  // ended, and only its parent has not noticed
    ::close(fd);
    return base::fail(base::ErrorCode::kNotFound, fmt::format("process {} has ended", pid));
  }
  auto impl = std::make_shared<Impl>(executor, pid, fd);
  impl->watch();
  return std::unique_ptr<ForeignProcess>(new ForeignProcess(std::move(impl)));
}

ForeignProcess::ForeignProcess(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
ForeignProcess::~ForeignProcess() {
  if (!impl_->gone) impl_->pidfd.close();
}
pid_t ForeignProcess::pid() const { return impl_->pid; }
bool ForeignProcess::running() const { return !impl_->gone; }

Task<> ForeignProcess::ended() {
  const auto impl = impl_;
  while (!impl->gone) co_await impl->changed.wait();
}

void ForeignProcess::kill(int signal) {
  if (!impl_->gone) ::syscall(SYS_pidfd_send_signal, impl_->pidfd.native_handle(), signal, nullptr, 0);
}

}  // namespace mainstay::async
