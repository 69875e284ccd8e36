#include "capabilities/compute/image/layers.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/files.h"
#include "base/ids.h"
#include "base/log.h"
#include "capabilities/compute/fs.h"
#include "capabilities/compute/image/unpack.h"
#include "store/blobs.h"

namespace mainstay::compute {
namespace fs = std::filesystem;
namespace {

// A layer is used at once after its rename; its bytes reach the disk a little later. Until then the marker holds the
// boot's id: after a power failure the layer does not count and is unpacked again, with no fsync a file in the way of a
// pod's start.
constexpr const char* kMarker = "complete";
constexpr std::string_view kSynced = "synced";

}  // namespace

LayerStore::LayerStore(fs::path root) : root_(std::move(root)), boot_id_(slurp("/proc/sys/kernel/random/boot_id")) {}

fs::path LayerStore::directory(std::string_view digest) const { return root_ / digest.substr(digest.find(':') + 1); }

base::Result<> LayerStore::open() {
  // 0700: an image's set-uid programs are not for this machine's users.
  MAINSTAY_TRY_VOID(base::make_directories(root_, 0700));
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(root_, ignored)) {
    if (entry.path().filename().string().starts_with(".new-")) remove_tree(entry.path());
  }
  return {};
}

bool LayerStore::has(std::string_view digest) const {
  const std::string marker = slurp(directory(digest) / kMarker);
  return marker == kSynced || (!marker.empty() && marker == boot_id_);
}

base::Result<> LayerStore::unpack(const std::string& digest, const fs::path& archive) {
  const fs::path fresh = root_ / (".new-" + base::random_hex(8));
  MAINSTAY_TRY_VOID(base::make_directories(fresh / "fs", 0755));
  ::chmod((fresh / "fs").c_str(), 0755);
  auto report = unpack_layer(archive, fresh / "fs");
  if (!report) {
    remove_tree(fresh);
    return std::unexpected(report.error());
  }
  MAINSTAY_TRY_VOID(write_light(fresh / kMarker, boot_id_));
  const fs::path final = directory(digest);
  if (fs::exists(final)) remove_tree(final);
  if (::rename(fresh.c_str(), final.c_str()) != 0) return errno_error("cannot keep layer " + digest);
  base::log::info("compute", "layer {} unpacked: {} entries, {} bytes", digest, report->entries, report->bytes);
  return {};
}

base::Result<fs::path> LayerStore::ensure(const std::string& digest, const fs::path& archive) {
  if (!store::valid_digest(digest))
    return base::fail(base::ErrorCode::kInvalid, "a layer's digest is not sha256:<64 hex digits>");
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return !under_way_.contains(digest); });
  const fs::path dir = directory(digest);
  if (has(digest)) {
    ::utimensat(AT_FDCWD, dir.c_str(), nullptr, 0);
    return dir / "fs";
  }
  under_way_.insert(digest);
  lock.unlock();
  auto result = unpack(digest, archive);
  lock.lock();
  under_way_.erase(digest);
  changed_.notify_all();
  lock.unlock();
  if (!result) return std::unexpected(result.error());
  return dir / "fs";
}

int LayerStore::collect(const std::set<std::string>& used, std::chrono::seconds age) {
  std::error_code ignored;
  int removed = 0;
  const std::int64_t now = ::time(nullptr);
  for (const auto& entry : fs::directory_iterator(root_, ignored)) {
    const std::string name = entry.path().filename();
    struct stat info{};
    if (name.size() != 64 || ::stat(entry.path().c_str(), &info) != 0) continue;
    if (slurp(entry.path() / kMarker) == boot_id_ && now - info.st_mtime > 60) {
      Fd fd(::open(entry.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
      if (fd.ok() && ::syncfs(fd.get()) == 0) static_cast<void>(write_light(entry.path() / kMarker, kSynced));
    }
    if (used.contains("sha256:" + name) || now - info.st_mtime < age.count()) continue;
    const std::lock_guard lock(mutex_);
    if (under_way_.contains("sha256:" + name)) continue;
    const fs::path gone = root_ / (".new-" + base::random_hex(8));
    if (::rename(entry.path().c_str(), gone.c_str()) != 0) continue;
    remove_tree(gone);
    ++removed;
  }
  return removed;
}

}  // namespace mainstay::compute
