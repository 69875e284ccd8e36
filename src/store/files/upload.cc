#include "store/files/upload.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>

#include "base/encoding.h"
#include "base/files.h"
#include "base/log.h"
#include "base/strings.h"

namespace mainstay::store {
namespace {

constexpr std::uint64_t kSaveEvery = 32u << 20;   // bytes to read again after a restart, at most
constexpr std::uint64_t kFlushEvery = 16u << 20;  // bytes left for the fsync at the end, about
constexpr std::size_t kReadBlock = 1u << 20;

// Changes with every boot of the machine; "" where the system does not say, which is never believed.
const std::string& boot_id() {
  static const std::string id = [] {
    auto text = base::read_file("/proc/sys/kernel/random/boot_id", 256);
    return text ? std::string(base::trim(*text)) : std::string();
  }();
  return id;
}

}  // namespace

UploadFile::UploadFile(const std::filesystem::path& folder, std::string id, Descriptor fd)
    : id_(std::move(id)), path_(folder / id_), state_path_(folder / (id_ + ".state")), fd_(std::move(fd)) {}

base::Result<std::shared_ptr<UploadFile>> UploadFile::create(const std::filesystem::path& folder, std::string id) {
  MAINSTAY_TRY(Descriptor fd, open_file(folder / id, O_RDWR | O_CREAT | O_EXCL));
  return std::shared_ptr<UploadFile>(new UploadFile(folder, std::move(id), std::move(fd)));
}

base::Result<std::shared_ptr<UploadFile>> UploadFile::reopen(const std::filesystem::path& folder, std::string id) {
  auto fd = open_file(folder / id, O_RDWR);
  if (!fd) {
    if (fd.error().code != base::ErrorCode::kNotFound) return std::unexpected(std::move(fd).error());
    return base::fail(base::ErrorCode::kNotFound,
                      "there is no upload " + id + " (finished, aborted or expired): begin again");
  }
  std::shared_ptr<UploadFile> out(new UploadFile(folder, std::move(id), *std::move(fd)));
  MAINSTAY_TRY_VOID(out->restore_state());
  return out;
}

UploadFile::~UploadFile() {
  if (!gone() && size() != saved_) save_state();
}

base::Result<> UploadFile::append(std::string_view bytes) {
  const std::uint64_t before = size();
  if (auto written = write_all(fd_.get(), bytes, path_); !written) {
    // Take the part back: what the digest has seen and what the file holds must agree.
    if (::ftruncate(fd_.get(), static_cast<off_t>(before)) != 0 ||
        ::lseek(fd_.get(), static_cast<off_t>(before), SEEK_SET) < 0)
      discard();
    return written;
  }
  hash_.update(bytes);
  const std::uint64_t now = before + bytes.size();
  size_.store(now, std::memory_order_release);
  if (now - flushed_ >= kFlushEvery) {
    // Starts the disk early, so that the fsync at the end has little left; a hint, its failure means nothing.
    ::sync_file_range(fd_.get(), static_cast<off_t>(flushed_), static_cast<off_t>(now - flushed_),
                      SYNC_FILE_RANGE_WRITE);
    flushed_ = now;
  }
  if (now - saved_ >= kSaveEvery) save_state();
  return {};
}

base::Result<std::string> UploadFile::digest() const {
  MAINSTAY_TRY(crypto::Sha256 copy, crypto::Sha256::restore(hash_.save()));
  return "sha256:" + copy.finish_hex();
}

base::Result<> UploadFile::sync() { return sync_file(fd_.get(), path_); }

void UploadFile::discard() {
  gone_.store(true, std::memory_order_release);
  ::unlink(path_.c_str());
  ::unlink(state_path_.c_str());
}

void UploadFile::released() {
  gone_.store(true, std::memory_order_release);
  ::unlink(state_path_.c_str());
}

void UploadFile::save_state() {
  const std::string rest = fmt::format("{}\n{}\n{}\n", boot_id(), size(), base::hex(hash_.save()));
  const std::string text = crypto::sha256_hex(rest) + "\n" + rest;
  // Without it the upload is only slower to resume, so a failure is no error; the digest in front tells a torn file.
  auto fd = open_file(state_path_, O_WRONLY | O_CREAT | O_TRUNC);
  if (fd && write_all(fd->get(), text, state_path_)) saved_ = size();
}

base::Result<> UploadFile::restore_state() {
  struct stat info{};
  if (::fstat(fd_.get(), &info) != 0) return disk_error("read", path_, errno);
  const auto on_disk = static_cast<std::uint64_t>(info.st_size);
  std::uint64_t known = 0;
  if (auto text = base::read_file(state_path_, 4096); text && !boot_id().empty()) {
    const std::string_view all = *text;
    const std::size_t end = all.find('\n');
    const auto lines = base::split(end == std::string_view::npos ? "" : all.substr(end + 1), '\n');
    std::uint64_t size = 0;
    if (lines.size() == 4 && crypto::sha256_hex(all.substr(end + 1)) == all.substr(0, end) && lines[0] == boot_id() &&
        std::from_chars(lines[1].data(), lines[1].data() + lines[1].size(), size).ec == std::errc() &&
        size <= on_disk) {
      auto raw = base::hex_decode(lines[2]);
      auto hash = raw ? crypto::Sha256::restore(*raw) : base::fail(base::ErrorCode::kInvalid, "");
      if (hash) {
        hash_ = *std::move(hash);
        known = size;
      }
    }
  }
  MAINSTAY_TRY_VOID(hash_rest(known, on_disk));
  saved_ = known;
  flushed_ = on_disk;
  size_.store(on_disk, std::memory_order_release);
  if (::lseek(fd_.get(), info.st_size, SEEK_SET) < 0) return disk_error("read", path_, errno);
  return {};
}

base::Result<> UploadFile::hash_rest(std::uint64_t from, std::uint64_t to) {
  std::string block(std::min<std::uint64_t>(kReadBlock, to - from), '\0');
  while (from < to) {
    const ssize_t n =
        ::pread(fd_.get(), block.data(), std::min<std::uint64_t>(block.size(), to - from), static_cast<off_t>(from));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return disk_error("read", path_, n < 0 ? errno : EIO);
    hash_.update(std::string_view(block).substr(0, static_cast<std::size_t>(n)));
    from += static_cast<std::uint64_t>(n);
  }
  return {};
}

}  // namespace mainstay::store
