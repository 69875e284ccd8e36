// Blobs as files: ROOT/blobs/sha256/ab/<digest>, written as ROOT/uploads/<id> and moved into place.
#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <mutex>
#include <unordered_map>

#include "base/ids.h"
#include "store/blobs.h"
#include "store/files/disk.h"
#include "store/files/upload.h"

namespace mainstay::store {
namespace {

using base::ErrorCode;
using base::fail;
namespace fs = std::filesystem;

constexpr std::string_view kAlgorithm = "sha256:";
constexpr std::size_t kHexDigits = 64;
constexpr std::size_t kUuid = 36;

bool is_hex(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

// Ids come from clients: nothing but what begin() makes may become a path.
bool valid_upload_id(std::string_view id) {
  if (id.size() != kUuid) return false;
  for (std::size_t i = 0; i < id.size(); ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash ? id[i] != '-' : !is_hex(id.substr(i, 1))) return false;
  }
  return true;
}

// What the store, its uploads and its pins share; all of it is for any thread.
class Folder {
 public:
  Folder(async::Runtime& r, fs::path root) : runtime(r), root_(std::move(root)) {}

  base::Result<> prepare() {
    MAINSTAY_TRY_VOID(make_directory(uploads()));
    return make_directory(root_ / "blobs" / "sha256");
  }
  fs::path uploads() const { return root_ / "uploads"; }
  fs::path shard(std::string_view prefix) const { return root_ / "blobs" / "sha256" / prefix; }
  fs::path path(std::string_view digest) const {
    const std::string_view hex = digest.substr(kAlgorithm.size());
    return shard(hex.substr(0, 2)) / hex;
  }
  // Moves a complete, synced file to its place; durable when it returns.
  base::Result<> publish(const fs::path& from, std::uint64_t size, std::string_view digest);
  base::Result<> remove(const std::string& digest);
  base::Result<std::shared_ptr<const void>> pin(const std::string& digest);

  async::Runtime& runtime;

 private:
  const fs::path root_;
  // Whether a blob is there is decided and acted on under it, so that a collector cannot remove what a finishing upload
  // has just found to be there. Held over an fsync: not for the loop.
  std::mutex mutex_;
  std::mutex pins_mutex_;  // after mutex_; held for moments only
  std::unordered_map<std::string, std::weak_ptr<const void>> pins_;
  std::size_t sweep_at_ = 1024;
};

base::Result<> Folder::publish(const fs::path& from, std::uint64_t size, std::string_view digest) {
  const fs::path to = path(digest);
  const std::lock_guard lock(mutex_);
  struct stat there{};
  // A file of another size was damaged by something else than us: the good one takes its place.
  if (::stat(to.c_str(), &there) == 0 && static_cast<std::uint64_t>(there.st_size) == size) {
    // Young again, so that a collector leaves it to whoever has just sent it.
    if (::utimensat(AT_FDCWD, to.c_str(), nullptr, 0) != 0) return disk_error("touch", to, errno);
    ::unlink(from.c_str());
  } else {
    MAINSTAY_TRY_VOID(make_directory(to.parent_path()));
    if (::rename(from.c_str(), to.c_str()) != 0) return disk_error("move a blob to", to, errno);
  }
  return sync_directory(to.parent_path());
}

base::Result<> Folder::remove(const std::string& digest) {
  const fs::path at = path(digest);
  const std::lock_guard lock(mutex_);
  const std::lock_guard pins_lock(pins_mutex_);
  if (const auto pin = pins_.find(digest); pin != pins_.end()) {
    if (!pin->second.expired()) return fail(ErrorCode::kConflict, digest + " is in use; remove it later");
    pins_.erase(pin);
  }
  if (::unlink(at.c_str()) == 0) return {};
  if (errno == ENOENT) return fail(ErrorCode::kNotFound, "there is no blob " + digest);
  return disk_error("remove", at, errno);
}

base::Result<std::shared_ptr<const void>> Folder::pin(const std::string& digest) {
  const std::lock_guard lock(pins_mutex_);
  if (::access(path(digest).c_str(), F_OK) != 0) return fail(ErrorCode::kNotFound, "there is no blob " + digest);
  // Entries whose holder has gone are swept now and then: the map stays about as large as what is in use.
  if (pins_.size() >= sweep_at_) {
    std::erase_if(pins_, [](const auto& entry) { return entry.second.expired(); });
    sweep_at_ = 1024 + 2 * pins_.size();
  }
  auto& entry = pins_[digest];
  std::shared_ptr<const void> held = entry.lock();
  if (!held) entry = held = std::make_shared<char>();
  return held;
}

base::Result<> finish_upload(Folder& folder, UploadFile& file, const std::string& digest) {
  MAINSTAY_TRY(const std::string actual, file.digest());
  if (actual != digest) {
    file.discard();
    return fail(ErrorCode::kInvalid, fmt::format("digest: the content is {}, not {}; upload it again", actual, digest));
  }
  MAINSTAY_TRY_VOID(file.sync());
  MAINSTAY_TRY_VOID(folder.publish(file.path(), file.size(), digest));
  file.released();
  return {};
}

class Upload final : public BlobUpload {
 public:
  Upload(std::shared_ptr<Folder> folder, std::shared_ptr<UploadFile> file)
      : folder_(std::move(folder)), file_(std::move(file)) {}
  const std::string& id() const override { return file_->id(); }
  std::uint64_t size() const override { return file_->size(); }
  const std::shared_ptr<UploadFile>& file() const { return file_; }

  async::Task<base::Result<>> append(std::string data) override {
    const auto folder = folder_;
    const auto file = file_;
    MAINSTAY_CO_TRY_VOID(claim(*file));
    // The claim ends with the work, on the pool: a caller that is cancelled meanwhile leaves the work running.
    auto work = [file, data = std::move(data)] {
      auto result = file->append(data);
      file->unclaim();
      return result;
    };
    co_return co_await folder->runtime.blocking(std::move(work));
  }

  async::Task<base::Result<>> finish(std::string digest) override {
    const auto folder = folder_;
    const auto file = file_;
    if (!valid_digest(digest))
      co_return fail(ErrorCode::kInvalid, "digest: must be sha256: and 64 lower-case hexadecimal digits");
    MAINSTAY_CO_TRY_VOID(claim(*file));
    auto work = [folder, file, digest = std::move(digest)] {
      auto result = finish_upload(*folder, *file, digest);
      file->unclaim();
      return result;
    };
    co_return co_await folder->runtime.blocking(std::move(work));
  }

  async::Task<> abort() override {
    const auto folder = folder_;
    const auto file = file_;
    if (!claim(*file)) co_return;  // gone already, or the append under way decides
    auto work = [file] {
      file->discard();
      file->unclaim();
    };
    co_await folder->runtime.blocking(std::move(work));
  }

 private:
  static base::Result<> claim(UploadFile& file) {
    if (!file.claim()) return fail(ErrorCode::kConflict, "another request is writing to this upload");
    if (!file.gone()) return {};
    file.unclaim();
    return fail(ErrorCode::kNotFound, "the upload " + file.id() + " is finished or aborted: begin again");
  }

  const std::shared_ptr<Folder> folder_;
  const std::shared_ptr<UploadFile> file_;
};

class FileBlobs final : public BlobStore, public std::enable_shared_from_this<FileBlobs> {
 public:
  explicit FileBlobs(std::shared_ptr<Folder> folder) : folder_(std::move(folder)) {}

  async::Task<base::Result<std::shared_ptr<BlobUpload>>> begin() override;
  async::Task<base::Result<std::shared_ptr<BlobUpload>>> resume(std::string id) override;
  base::Result<std::uint64_t> size(std::string_view digest) const override;
  base::Result<fs::path> path(std::string_view digest) const override;
  async::Task<base::Result<std::string>> put(std::string content) override;
  async::Task<base::Result<std::string>> read(std::string digest, std::size_t max_bytes) override;
  async::Task<base::Result<>> remove(std::string digest) override;
  base::Result<std::shared_ptr<const void>> pin(std::string_view digest) override;
  async::Task<std::size_t> expire_uploads(std::chrono::seconds age) override;
  async::Task<> for_each(std::function<void(const std::string& digest, std::uint64_t size)> f) override;

 private:
  std::shared_ptr<Upload> adopt(std::shared_ptr<UploadFile> file);
  static base::Result<> check(std::string_view digest) {
    if (valid_digest(digest)) return {};
    return fail(ErrorCode::kInvalid, "digest: must be sha256: and 64 lower-case hexadecimal digits");
  }

  const std::shared_ptr<Folder> folder_;
  std::unordered_map<std::string, std::weak_ptr<Upload>> open_;  // two requests on one upload must share it
};

std::shared_ptr<Upload> FileBlobs::adopt(std::shared_ptr<UploadFile> file) {
  std::erase_if(open_, [](const auto& entry) { return entry.second.expired(); });
  auto upload = std::make_shared<Upload>(folder_, std::move(file));
  open_[upload->id()] = upload;
  return upload;
}

async::Task<base::Result<std::shared_ptr<BlobUpload>>> FileBlobs::begin() {
  const auto self = shared_from_this();
  auto work = [folder = self->folder_] { return UploadFile::create(folder->uploads(), base::uuid4()); };
  MAINSTAY_CO_TRY(auto file, co_await self->folder_->runtime.blocking(std::move(work)));
  co_return self->adopt(std::move(file));
}

async::Task<base::Result<std::shared_ptr<BlobUpload>>> FileBlobs::resume(std::string id) {
  const auto self = shared_from_this();
  auto held = [self, &id]() -> std::shared_ptr<Upload> {
    const auto at = self->open_.find(id);
    auto upload = at == self->open_.end() ? nullptr : at->second.lock();
    return upload && !upload->file()->gone() ? upload : nullptr;
  };
  if (!valid_upload_id(id)) co_return fail(ErrorCode::kNotFound, "there is no such upload: begin again");
  if (auto upload = held()) co_return upload;
  auto work = [folder = self->folder_, id] { return UploadFile::reopen(folder->uploads(), id); };
  auto file = co_await self->folder_->runtime.blocking(std::move(work));
  if (auto upload = held()) co_return upload;  // another request was first
  if (!file) co_return std::unexpected(std::move(file).error());
  co_return self->adopt(*std::move(file));
}

base::Result<std::uint64_t> FileBlobs::size(std::string_view digest) const {
  MAINSTAY_TRY_VOID(check(digest));
  struct stat info{};
  const fs::path at = folder_->path(digest);
  if (::stat(at.c_str(), &info) == 0) return static_cast<std::uint64_t>(info.st_size);
  if (errno == ENOENT) return fail(ErrorCode::kNotFound, fmt::format("there is no blob {}", digest));
  return disk_error("read", at, errno);
}

base::Result<fs::path> FileBlobs::path(std::string_view digest) const {
  MAINSTAY_TRY([[maybe_unused]] const auto bytes, size(digest));
  return folder_->path(digest);
}

async::Task<base::Result<std::string>> FileBlobs::put(std::string content) {
  const auto folder = folder_;
  auto work = [folder, content = std::move(content)]() -> base::Result<std::string> {
    std::string digest = std::string(kAlgorithm) + crypto::sha256_hex(content);
    MAINSTAY_TRY(const auto file, UploadFile::create(folder->uploads(), base::uuid4()));
    // Whatever fails, no file stays behind; after a kill, expire_uploads() finds it.
    base::Result<> done = file->append(content);
    if (done) done = file->sync();
    if (done) done = folder->publish(file->path(), file->size(), digest);
    if (!done) {
      file->discard();
      return std::unexpected(std::move(done).error());
    }
    file->released();
    return digest;
  };
  co_return co_await folder->runtime.blocking(std::move(work));
}

async::Task<base::Result<std::string>> FileBlobs::read(std::string digest, std::size_t max_bytes) {
  const auto folder = folder_;
  MAINSTAY_CO_TRY_VOID(check(digest));
  auto work = [folder, digest = std::move(digest), max_bytes]() -> base::Result<std::string> {
    auto fd = open_file(folder->path(digest), O_RDONLY);
    if (!fd && fd.error().code == ErrorCode::kNotFound) return fail(ErrorCode::kNotFound, "there is no blob " + digest);
    if (!fd) return std::unexpected(std::move(fd).error());
    struct stat info{};
    if (::fstat(fd->get(), &info) != 0) return disk_error("read", folder->path(digest), errno);
    const auto size = static_cast<std::size_t>(info.st_size);
    if (size > max_bytes)
      return fail(ErrorCode::kTooLarge,
                  fmt::format("{} has {} bytes, at most {} are read here", digest, size, max_bytes));
    std::string out(size, '\0');
    for (std::size_t at = 0; at < size;) {
      const ssize_t n = ::pread(fd->get(), out.data() + at, size - at, static_cast<off_t>(at));
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return disk_error("read", folder->path(digest), n < 0 ? errno : EIO);
      at += static_cast<std::size_t>(n);
    }
    // Cheap beside the disk, and a damaged manifest must not be taken for what its name promises.
    if (crypto::sha256_hex(out) != std::string_view(digest).substr(kAlgorithm.size()))
      return fail(ErrorCode::kInternal, digest + " is damaged on the disk; remove it and upload it again");
    return out;
  };
  co_return co_await folder->runtime.blocking(std::move(work));
}

async::Task<base::Result<>> FileBlobs::remove(std::string digest) {
  const auto folder = folder_;
  MAINSTAY_CO_TRY_VOID(check(digest));
  auto work = [folder, digest = std::move(digest)] { return folder->remove(digest); };
  co_return co_await folder->runtime.blocking(std::move(work));
}

base::Result<std::shared_ptr<const void>> FileBlobs::pin(std::string_view digest) {
  MAINSTAY_TRY_VOID(check(digest));
  return folder_->pin(std::string(digest));
}

async::Task<std::size_t> FileBlobs::expire_uploads(std::chrono::seconds age) {
  const auto self = shared_from_this();
  auto scan = [folder = self->folder_, age] {
    std::vector<std::string> old;
    const auto limit = fs::file_time_type::clock::now() - age;
    std::error_code error;
    for (fs::directory_iterator at(folder->uploads(), error), end; !error && at != end; at.increment(error)) {
      std::error_code gone;
      const auto changed = fs::last_write_time(at->path(), gone);
      if (!gone && changed <= limit) old.push_back(at->path().filename().string());
    }
    return old;
  };
  const std::vector<std::string> old = co_await self->folder_->runtime.blocking(std::move(scan));
  std::size_t removed = 0;
  for (const std::string& name : old) {
    const std::string id = name.substr(0, kUuid);
    const auto open = self->open_.find(id);
    if (open != self->open_.end() && !open->second.expired()) continue;
    std::error_code ignored;
    // Unlinking is quick; between the check and it, on the loop, nobody can resume the upload.
    if (fs::remove(self->folder_->uploads() / name, ignored) && name.size() == kUuid) ++removed;
  }
  co_return removed;
}

async::Task<> FileBlobs::for_each(std::function<void(const std::string& digest, std::uint64_t size)> f) {
  const auto folder = folder_;
  // A folder at a time: the memory it takes is a 256th of the store's, and the loop goes on in between.
  for (int shard = 0; shard < 256; ++shard) {
    auto scan = [folder, prefix = fmt::format("{:02x}", shard)] {
      std::vector<std::pair<std::string, std::uint64_t>> found;
      std::error_code error;
      for (fs::directory_iterator at(folder->shard(prefix), error), end; !error && at != end; at.increment(error)) {
        const std::string name = at->path().filename().string();
        std::error_code gone;
        const auto size = at->file_size(gone);
        if (!gone && name.size() == kHexDigits && is_hex(name))
          found.emplace_back(std::string(kAlgorithm) + name, size);
      }
      return found;
    };
    const auto found = co_await folder->runtime.blocking(std::move(scan));
    for (const auto& [digest, size] : found) f(digest, size);
  }
}

}  // namespace

bool valid_digest(std::string_view digest) {
  return digest.size() == kAlgorithm.size() + kHexDigits && digest.starts_with(kAlgorithm) &&
         is_hex(digest.substr(kAlgorithm.size()));
}

base::Result<std::shared_ptr<BlobStore>> open_file_blobs(async::Runtime& runtime, const fs::path& root) {
  auto folder = std::make_shared<Folder>(runtime, fs::absolute(root));
  MAINSTAY_TRY_VOID(folder->prepare());
  return std::make_shared<FileBlobs>(std::move(folder));
}

}  // namespace mainstay::store
