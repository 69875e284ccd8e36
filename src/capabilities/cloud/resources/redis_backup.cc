#include "capabilities/cloud/resources/redis_backup.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "base/files.h"
#include "capabilities/cloud/resources/unprivileged.h"

namespace mainstay::cloud {
namespace fs = std::filesystem;
using base::ErrorCode;
using base::fail;
namespace {

constexpr const char* kFiles = "appendonlydir";
constexpr const char* kManifest = "appendonly.aof.manifest";
constexpr int kTries = 5;

void sync(const fs::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return;
  ::fsync(fd);
  ::close(fd);
}

std::unexpected<base::Error> cannot(std::string_view doing, const std::error_code& error) {
  return fail(ErrorCode::kInternal, fmt::format("{}: {}", doing, error.message()));
}

base::Result<> copy_files(const fs::path& from, const fs::path& to) {
  MAINSTAY_TRY_VOID(base::make_directories(to, 0700));
  std::error_code error;
  for (fs::directory_iterator at(from, error), end; !error && at != end; at.increment(error)) {
    // The folder is another user's: a link in it is not followed.
    if (!at->is_regular_file(error) || at->is_symlink(error)) continue;
    fs::copy_file(at->path(), to / at->path().filename(), error);
    if (!error) sync(to / at->path().filename());
  }
  if (error) return cannot("the copy of Redis' files", error);
  sync(to);
  return {};
}

}  // namespace

std::vector<platform::ResourceBackup> list_redis_copies(const fs::path& folder) {
  std::vector<platform::ResourceBackup> out;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    if (!entry.is_directory(ignored) || entry.path().extension() == ".part") continue;
    platform::ResourceBackup one{entry.path().filename().string(), 0};
    std::error_code gone;
    for (const auto& file : fs::directory_iterator(entry.path(), gone)) one.bytes += file.file_size(gone);
    out.push_back(std::move(one));
  }
  std::ranges::sort(out, {}, &platform::ResourceBackup::name);
  return out;
}

base::Result<platform::ResourceBackup> copy_redis(const fs::path& data, const fs::path& folder,
                                                  const std::string& name) {
  const fs::path from = data / kFiles, part = folder / (name + ".part");
  std::error_code error;
  bool whole = false;
  for (int i = 0; i < kTries && !whole; ++i) {
    fs::remove_all(part, error);
    const auto before = base::read_file(from / kManifest, 1u << 16);
    if (!before) return fail(ErrorCode::kUnavailable, "Redis has no append-only files yet; try again in a moment");
    // A file that vanishes meanwhile is Redis rewriting: once more.
    const auto copied = copy_files(from, part);
    const auto after = base::read_file(from / kManifest, 1u << 16);
    whole = copied && after && *after == *before;
    if (!whole && !copied && i + 1 == kTries) return std::unexpected(copied.error());
  }
  if (!whole) {
    fs::remove_all(part, error);
    return fail(ErrorCode::kUnavailable, "Redis rewrites its files all the time; try again in a moment");
  }
  fs::rename(part, folder / name, error);
  if (error) return cannot("the backup cannot be kept", error);
  sync(folder);
  std::vector<platform::ResourceBackup> all = list_redis_copies(folder);
  for (std::size_t i = 0; i + kKeptRedisBackups < all.size(); ++i) fs::remove_all(folder / all[i].name, error);
  return all.back().name == name ? all.back() : platform::ResourceBackup{name, 0};
}

base::Result<> place_redis_copy(const fs::path& copy, const fs::path& data, const std::string& user) {
  const fs::path next = data / (std::string(kFiles) + ".new"), old = data / (std::string(kFiles) + ".old"),
                 now = data / kFiles;
  std::error_code error;
  fs::remove_all(next, error);
  fs::remove_all(old, error);
  MAINSTAY_TRY_VOID(copy_files(copy, next));
  MAINSTAY_TRY_VOID(give_to(next, user));
  for (const auto& file : fs::directory_iterator(next, error)) MAINSTAY_TRY_VOID(give_to(file.path(), user));
  fs::rename(now, old, error);
  if (error) return cannot("Redis' files", error);
  fs::rename(next, now, error);
  if (error) return cannot("Redis' files", error);
  sync(data);
  return {};
}

void settle_redis_data(const fs::path& data, bool keep) {
  const fs::path old = data / (std::string(kFiles) + ".old"), now = data / kFiles;
  std::error_code error;
  if (!fs::exists(old, error)) return;
  if (keep) {
    fs::remove_all(old, error);
    return;
  }
  fs::remove_all(now, error);
  fs::rename(old, now, error);
  sync(data);
}

}  // namespace mainstay::cloud
