#include "async/file_watch.h"

#include <fmt/format.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <map>
#include <system_error>
#include <unordered_map>

#include "async/sync.h"

namespace mainstay::async {
using Descriptor = boost::asio::posix::stream_descriptor;

namespace {

std::uint32_t to_mask(std::uint32_t kinds) {
  std::uint32_t mask = 0;
  if (kinds & FileChange::kModified) mask |= IN_MODIFY;
  if (kinds & FileChange::kClosed) mask |= IN_CLOSE_WRITE;
  if (kinds & FileChange::kCreated) mask |= IN_CREATE | IN_MOVED_TO;
  if (kinds & FileChange::kRemoved) mask |= IN_DELETE | IN_MOVED_FROM | IN_DELETE_SELF | IN_MOVE_SELF;
  return mask;
}

std::uint32_t to_kinds(std::uint32_t mask) {
  std::uint32_t kinds = 0;
  if (mask & IN_MODIFY) kinds |= FileChange::kModified;
  if (mask & IN_CLOSE_WRITE) kinds |= FileChange::kClosed;
  if (mask & (IN_CREATE | IN_MOVED_TO)) kinds |= FileChange::kCreated;
  if (mask & (IN_DELETE | IN_MOVED_FROM | IN_DELETE_SELF | IN_MOVE_SELF)) kinds |= FileChange::kRemoved;
  if (mask & IN_Q_OVERFLOW) kinds |= FileChange::kOverflow;
  return kinds;
}

}  // namespace

struct FileWatch::Impl : std::enable_shared_from_this<FileWatch::Impl> {
  Impl(const Executor& executor, int fd, std::chrono::milliseconds g)
      : notify(executor, fd), timer(executor), changed(executor), gather(g) {}

  Descriptor notify;
  boost::asio::steady_timer timer;
  Event changed;
  const std::chrono::milliseconds gather;
  std::map<std::filesystem::path, int> by_path;
  std::unordered_map<int, std::filesystem::path> by_watch;
  std::vector<FileChange> pending;

  void wait() {
    notify.async_wait(Descriptor::wait_read, [self = shared_from_this()](const boost::system::error_code& error) {
      if (error) return;  // closed by the destructor
      self->drain();
      self->rest();
    });
  }

  // What the kernel has not been asked for it merges, and wakes nobody for.
  void rest() {
    if (gather.count() == 0) return wait();
    timer.expires_after(gather);
    timer.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
      if (!error && self->notify.is_open()) self->wait();
    });
  }

  void drain() {
    alignas(inotify_event) char buffer[16 * 1024];
    for (ssize_t n; (n = ::read(notify.native_handle(), buffer, sizeof buffer)) > 0;) {
      for (const char* at = buffer; at < buffer + n;) {
        const auto* event = reinterpret_cast<const inotify_event*>(at);
        take(*event);
        at += sizeof(inotify_event) + event->len;
      }
    }
    if (!pending.empty()) changed.notify_all();
  }

  void take(const inotify_event& event) {
    const auto it = by_watch.find(event.wd);
    if (event.mask & IN_IGNORED) {  // the kernel's last word on a watch
      if (it != by_watch.end()) {
        if (const auto at = by_path.find(it->second); at != by_path.end() && at->second == event.wd) by_path.erase(at);
        by_watch.erase(it);
      }
      return;
    }
    const std::uint32_t kinds = to_kinds(event.mask);
    if (kinds & FileChange::kOverflow) {
      pending.push_back({kinds, {}});
    } else if (kinds != 0 && it != by_watch.end()) {
      std::filesystem::path path = event.len > 0 ? it->second / event.name : it->second;
      // A busy file says `modified` many times before anybody looks.
      if (!pending.empty() && pending.back().kind == kinds && pending.back().path == path) return;
      pending.push_back({kinds, std::move(path)});
    }
  }
};

base::Result<std::unique_ptr<FileWatch>> FileWatch::open(Executor executor, std::chrono::milliseconds gather) {
  const int fd = ::inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  if (fd < 0) {
    return base::fail(base::ErrorCode::kExhausted,
                      fmt::format("inotify: {}; sysctl fs.inotify.max_user_instances bounds it",
                                  std::generic_category().message(errno)));
  }
  auto impl = std::make_shared<Impl>(executor, fd, gather);
  impl->wait();
  return std::unique_ptr<FileWatch>(new FileWatch(std::move(impl)));
}

FileWatch::FileWatch(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
FileWatch::~FileWatch() {
  impl_->notify.close();
  impl_->timer.cancel();
}

base::Result<> FileWatch::add(const std::filesystem::path& path, std::uint32_t kinds) {
  const int watch = ::inotify_add_watch(impl_->notify.native_handle(), path.c_str(), to_mask(kinds));
  if (watch < 0) {
    const auto code = errno == ENOENT   ? base::ErrorCode::kNotFound
                      : errno == ENOSPC ? base::ErrorCode::kExhausted
                                        : base::ErrorCode::kInternal;
    return base::fail(code, fmt::format("cannot watch {}: {}", path.string(), std::generic_category().message(errno)));
  }
  impl_->by_path[path] = watch;
  impl_->by_watch[watch] = path;
  return {};
}

void FileWatch::remove(const std::filesystem::path& path) {
  const auto it = impl_->by_path.find(path);
  if (it == impl_->by_path.end()) return;
  ::inotify_rm_watch(impl_->notify.native_handle(), it->second);
  impl_->by_watch.erase(it->second);
  impl_->by_path.erase(it);
}

Task<std::vector<FileChange>> FileWatch::next() {
  const auto impl = impl_;
  while (impl->pending.empty()) co_await impl->changed.wait();
  co_return std::exchange(impl->pending, {});
}

}  // namespace mainstay::async
