#include "capabilities/observe/collector.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

namespace mainstay::observe {
namespace {

constexpr std::size_t kReadBytes = 1u << 20;
// Lines gather for this long before they are kept: one fsync for many.
constexpr auto kGather = std::chrono::milliseconds(50), kRest = std::chrono::milliseconds(50);
constexpr auto kRetry = std::chrono::seconds(2);

struct Chunk {
  std::string data;
  bool missing = false;
  bool rotated = false;  // the file is a new one, and the one before it was read to its end
};
Chunk read_at(const std::filesystem::path& path, std::uint64_t offset) {
  Chunk chunk;
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    chunk.missing = true;
    return chunk;
  }
  chunk.data.resize(kReadBytes);
  const ssize_t n = ::pread(fd, chunk.data.data(), chunk.data.size(), static_cast<off_t>(offset));
  chunk.data.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
  ::close(fd);
  return chunk;
}

// compute rotates by renaming to `<file>.1`: where the file is shorter than what was read of it, it is another one, and
// the rest of the one before lies there.
Chunk read_chunk(const std::filesystem::path& path, std::uint64_t offset) {
  struct stat info{};
  if (::stat(path.c_str(), &info) == 0 && static_cast<std::uint64_t>(info.st_size) >= offset)
    return read_at(path, offset);
  Chunk rest = read_at(path.string() + ".1", offset);
  if (!rest.missing && !rest.data.empty()) return rest;
  if (::stat(path.c_str(), &info) != 0) return rest;
  Chunk first = read_at(path, 0);
  first.rotated = true;
  return first;
}

}  // namespace

Collector::Collector(async::Runtime& runtime, async::TaskGroup& tasks, std::shared_ptr<LogStore> store,
                     base::Metrics& metrics)
    : runtime_(runtime),
      tasks_(tasks),
      store_(std::move(store)),
      lines_(metrics.counter("mainstay_logs_lines_total", "Lines of container output kept")),
      errors_(
          metrics.counter("mainstay_logs_errors_total", "Times that lines could not be kept and were tried again")) {}

base::Result<> Collector::start() {
  MAINSTAY_TRY(watch_, async::FileWatch::open(runtime_.executor(), kRest));
  tasks_.spawn("log files", watch_files(shared_from_this()));
  return {};
}

void Collector::follow(platform::ContainerLog log) {
  if (const auto known = files_.find(log.file); known != files_.end()) {
    // Rotated: the watch lies on the file that was renamed.
    static_cast<void>(watch_->add(log.file, async::FileChange::kModified));
    known->second->dirty = true;
    known->second->changed->notify_all();
    return;
  }
  auto file = std::make_shared<File>();
  file->log = std::move(log);
  file->changed = std::make_unique<async::Event>(runtime_.executor());
  files_[file->log.file] = file;
  if (auto added = watch_->add(file->log.file, async::FileChange::kModified); !added)
    base::log::warn("observe", "following {}: {}", file->log.file.string(), added.error().message);
  tasks_.spawn("log " + file->log.file.string(), pump(shared_from_this(), file));
}

async::Task<> Collector::finish(std::filesystem::path path) {
  const auto it = files_.find(path);
  if (it == files_.end()) co_return;
  const std::shared_ptr<File> file = it->second;
  file->finishing = true;
  file->dirty = true;
  file->changed->notify_all();
  while (!file->done) co_await file->changed->wait();
}

async::Task<> Collector::watch_files(std::shared_ptr<Collector> self) {
  for (;;) {
    for (const async::FileChange& change : co_await self->watch_->next()) {
      for (auto& [path, file] : self->files_) {
        if (!(change.kind & async::FileChange::kOverflow) && path != change.path) continue;
        file->dirty = true;
        file->changed->notify_all();
      }
    }
  }
}

async::Task<> Collector::pump(std::shared_ptr<Collector> self, std::shared_ptr<File> file) {
  const auto known = co_await self->store_->position(file->log.ns, file->log.file.string());
  file->offset = known.value_or(0);
  for (;;) {
    while (!file->dirty) co_await file->changed->wait();
    if (!file->finishing) co_await async::sleep_for(kGather);
    file->dirty = false;
    while (co_await read_some(self, file)) {
    }
    // Read to its end after it was said to be over: nothing can follow.
    if (file->finishing && !file->dirty) break;
  }
  self->watch_->remove(file->log.file);
  self->store_->forget(file->log.ns, file->log.file.string());
  self->files_.erase(file->log.file);
  file->done = true;
  file->changed->notify_all();
}

async::Task<bool> Collector::read_some(std::shared_ptr<Collector> self, std::shared_ptr<File> file) {
  const std::function<Chunk()> work = [path = file->log.file, offset = file->offset] {
    return read_chunk(path, offset);
  };
  const Chunk chunk = co_await self->runtime_.blocking(work);
  if (chunk.rotated) file->offset = 0;
  std::vector<LogRecord> records;
  std::size_t used = 0;
  std::string partial = file->partial;
  std::int64_t partial_us = file->partial_us;
  for (std::size_t end; (end = chunk.data.find('\n', used)) != std::string::npos; used = end + 1) {
    const auto cri = parse_cri(std::string_view(chunk.data).substr(used, end - used));
    if (!cri) continue;
    if (partial.empty()) partial_us = cri->time_us;
    if (partial.size() < kMaxLine) partial += cri->text;
    if (cri->partial) continue;
    records.push_back(
        {partial_us, file->log.pod, file->log.container, file->log.workload, cri->stream, std::move(partial)});
    partial.clear();
  }
  if (used == 0) co_return false;
  const std::size_t count = records.size();
  const auto kept =
      co_await self->store_->append(file->log.ns, std::move(records), {{file->log.file.string(), file->offset + used}});
  if (!kept) {
    // The disk is full, most likely: the lines stay in compute's file, and are tried again.
    self->errors_.add();
    base::log::warn("observe", "keeping logs of {}/{}: {}; trying again", file->log.ns, file->log.pod,
                    kept.error().message);
    co_await async::sleep_for(kRetry);
    file->dirty = true;
    co_return false;
  }
  self->lines_.add(static_cast<double>(count));
  file->offset += used;
  file->partial = std::move(partial);
  file->partial_us = partial_us;
  co_return chunk.data.size() == kReadBytes;
}

}  // namespace mainstay::observe
