#include "capabilities/compute/image/unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <memory>
#include <vector>

#include "base/strings.h"
#include "capabilities/compute/fs.h"

namespace mainstay::compute {
using base::ErrorCode;
using base::fail;
namespace {

constexpr std::string_view kWhiteout = ".wh.", kOpaque = ".wh..wh..opq", kWhiteoutMeta = ".wh..wh.";

struct ArchiveCloser {
  void operator()(archive* a) const { archive_read_free(a); }
};
using Archive = std::unique_ptr<archive, ArchiveCloser>;

Archive reader() {
  Archive a(archive_read_new());
  archive_read_support_filter_gzip(a.get());
  archive_read_support_filter_zstd(a.get());
  archive_read_support_format_tar(a.get());
  archive_read_support_format_empty(a.get());
  return a;
}

class Unpacker {
 public:
  Unpacker(archive* in, int root, const UnpackLimits& limits)
      : in_(in), root_(root), limits_(limits), owner_(::geteuid() == 0) {}
  base::Result<UnpackReport> run();

 private:
  struct Place {
    std::string parent, name;
  };
  base::Result<Place> place(const char* raw) const;
  base::Result<int> open_parent(const std::string& parent);
  base::Result<Fd> make_parents(const std::string& parent);
  base::Result<> entry(archive_entry* e);
  base::Result<> whiteout(int parent, const std::string& name, bool opaque);
  base::Result<> clear_way(int parent, const std::string& name, bool for_directory, bool* was_whiteout);
  base::Result<> directory(int parent, const std::string& name, archive_entry* e);
  base::Result<> regular(int parent, const std::string& name, archive_entry* e);
  base::Result<> write_data(int fd, const std::string& name);
  base::Result<> hard_link(int parent, const std::string& name, const char* target);
  base::Result<> symbolic_link(int parent, const std::string& name, archive_entry* e);
  void attributes(int fd, archive_entry* e) const;

  archive* in_;
  int root_;
  UnpackLimits limits_;
  bool owner_;
  UnpackReport report_;
  std::string cached_parent_;
  Fd cached_fd_;
  bool cache_stale_ = false;
};

bool is_whiteout(const struct stat& s) { return S_ISCHR(s.st_mode) && s.st_rdev == 0; }

base::Result<Unpacker::Place> Unpacker::place(const char* raw) const {
  const std::string_view path = raw == nullptr ? "" : raw;
  if (path.size() > limits_.max_path)
    return fail(ErrorCode::kTooLarge, fmt::format("layer: a path of {} bytes, over {}", path.size(), limits_.max_path));
  std::vector<std::string> parts;
  for (std::string_view part : base::split(path, '/')) {
    if (part.empty() || part == ".") continue;
    if (part == "..") return fail(ErrorCode::kInvalid, fmt::format("layer: path \"{}\" leads out of the image", path));
    if (part.size() > 255)
      return fail(ErrorCode::kInvalid,
                  fmt::format("layer: path \"{}…\" has a name over 255 bytes", path.substr(0, 80)));
    parts.emplace_back(part);
  }
  if (parts.empty()) return Place{};
  Place out;
  out.name = std::move(parts.back());
  parts.pop_back();
  out.parent = base::join(parts, "/");
  return out;
}

base::Result<Fd> Unpacker::make_parents(const std::string& parent) {
  Fd at = open_in_root(root_, ".", O_PATH | O_DIRECTORY);
  std::string so_far;
  for (std::string_view part : base::split(parent, '/')) {
    so_far += (so_far.empty() ? "" : "/") + std::string(part);
    Fd next = open_in_root(root_, so_far, O_PATH | O_DIRECTORY);
    if (!next.ok()) {
      // A dangling link or a file in the way is replaced by a directory: the later entry says what is there.
      const std::string name(part);
      if (errno != ENOENT && errno != ENOTDIR && errno != ELOOP) return errno_error("layer: " + so_far);
      ::unlinkat(at.get(), name.c_str(), 0);
      if (::mkdirat(at.get(), name.c_str(), 0755) != 0 && errno != EEXIST) return errno_error("layer: " + so_far);
      next = open_in_root(root_, so_far, O_PATH | O_DIRECTORY);
      if (!next.ok()) return errno_error("layer: " + so_far);
    }
    at = std::move(next);
  }
  return at;
}

base::Result<int> Unpacker::open_parent(const std::string& parent) {
  if (cached_fd_.ok() && !cache_stale_ && cached_parent_ == parent) return cached_fd_.get();
  Fd fd = open_in_root(root_, parent, O_PATH | O_DIRECTORY);
  if (!fd.ok()) {
    MAINSTAY_TRY(fd, make_parents(parent));
  }
  cache_stale_ = false;
  cached_parent_ = parent;
  cached_fd_ = std::move(fd);
  return cached_fd_.get();
}

base::Result<> Unpacker::whiteout(int parent, const std::string& name, bool opaque) {
  // fsetxattr refuses O_PATH descriptors.
  const std::string target = fmt::format("/proc/self/fd/{}{}{}", parent, opaque ? "" : "/", opaque ? "" : name);
  struct stat there{};
  const bool exists = !opaque && ::fstatat(parent, name.c_str(), &there, AT_SYMLINK_NOFOLLOW) == 0;
  if (!opaque && !exists) {
    if (::mknodat(parent, name.c_str(), S_IFCHR, 0) != 0) return errno_error("layer: whiteout of " + name);
    return {};
  }
  if (exists && !S_ISDIR(there.st_mode)) return {};  // the file of this layer hides the lower one already
  if (::setxattr(target.c_str(), "trusted.overlay.opaque", "y", 1, 0) != 0)
    return errno_error("layer: opaque directory");
  return {};
}

base::Result<> Unpacker::clear_way(int parent, const std::string& name, bool for_directory, bool* was_whiteout) {
  struct stat there{};
  if (::fstatat(parent, name.c_str(), &there, AT_SYMLINK_NOFOLLOW) != 0) return {};
  *was_whiteout = is_whiteout(there);
  if (S_ISDIR(there.st_mode)) {
    if (for_directory) return {};
    if (::unlinkat(parent, name.c_str(), AT_REMOVEDIR) != 0)
      return errno_error("layer: " + name + " replaces a directory");
    cache_stale_ = true;
    return {};
  }
  if (::unlinkat(parent, name.c_str(), 0) != 0) return errno_error("layer: " + name);
  cache_stale_ = true;  // it may have been a link on the way to the parent that is kept open
  return {};
}

// Owner before mode: chown clears the set-id bits.
void Unpacker::attributes(int fd, archive_entry* e) const {
  if (owner_) {
    [[maybe_unused]] const int ignored =
        ::fchown(fd, static_cast<uid_t>(archive_entry_uid(e)), static_cast<gid_t>(archive_entry_gid(e)));
  }
  ::fchmod(fd, archive_entry_perm(e) & 07777);
  archive_entry_xattr_reset(e);
  const char* name = nullptr;
  const void* value = nullptr;
  std::size_t size = 0;
  while (archive_entry_xattr_next(e, &name, &value, &size) == ARCHIVE_OK) {
    // Nothing of trusted.* (overlayfs' own) from an archive.
    if (name == nullptr ||
        (std::string_view(name) != "security.capability" && !std::string_view(name).starts_with("user.")))
      continue;
    if (std::string_view(name).starts_with("user.overlay.")) continue;
    ::fsetxattr(fd, name, value, size, 0);
  }
  const struct timespec times[2] = {{0, UTIME_OMIT}, {archive_entry_mtime(e), archive_entry_mtime_nsec(e)}};
  ::futimens(fd, times);
}

base::Result<> Unpacker::directory(int parent, const std::string& name, archive_entry* e) {
  bool was_whiteout = false;
  MAINSTAY_TRY_VOID(clear_way(parent, name, true, &was_whiteout));
  if (::mkdirat(parent, name.c_str(), 0755) != 0 && errno != EEXIST) return errno_error("layer: " + name);
  if (was_whiteout) MAINSTAY_TRY_VOID(whiteout(parent, name, false));
  Fd fd(::openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd.ok()) return errno_error("layer: " + name);
  attributes(fd.get(), e);
  return {};
}

base::Result<> Unpacker::write_data(int fd, const std::string& name) {
  for (;;) {
    const void* block = nullptr;
    std::size_t size = 0;
    la_int64_t offset = 0;
    const int status = archive_read_data_block(in_, &block, &size, &offset);
    if (status == ARCHIVE_EOF) {
      if (offset > 0 && static_cast<std::uint64_t>(offset) > limits_.max_bytes)
        return fail(ErrorCode::kTooLarge, "layer: sparse file " + name);
      if (::ftruncate(fd, offset) != 0) return errno_error("layer: " + name);
      return {};
    }
    if (status != ARCHIVE_OK && status != ARCHIVE_WARN)
      return fail(ErrorCode::kInvalid, fmt::format("layer: {}: {}", name,
                                                   archive_error_string(in_) ? archive_error_string(in_) : "bad data"));
    report_.bytes += size;
    if (report_.bytes > limits_.max_bytes || offset < 0 || static_cast<std::uint64_t>(offset) > limits_.max_bytes)
      return fail(ErrorCode::kTooLarge, fmt::format("layer: unpacks to over {} bytes", limits_.max_bytes));
    const char* from = static_cast<const char*>(block);
    while (size > 0) {
      const ssize_t n = ::pwrite(fd, from, size, offset);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return errno_error("layer: writing " + name);
      from += n;
      offset += n;
      size -= static_cast<std::size_t>(n);
    }
  }
}

base::Result<> Unpacker::regular(int parent, const std::string& name, archive_entry* e) {
  bool was_whiteout = false;
  MAINSTAY_TRY_VOID(clear_way(parent, name, false, &was_whiteout));
  Fd fd(::openat(parent, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd.ok()) return errno_error("layer: " + name);
  MAINSTAY_TRY_VOID(write_data(fd.get(), name));
  attributes(fd.get(), e);
  return {};
}

base::Result<> Unpacker::hard_link(int parent, const std::string& name, const char* target) {
  MAINSTAY_TRY(const Place source, place(target));
  if (source.name.empty()) return fail(ErrorCode::kInvalid, fmt::format("layer: {} is a hard link to the root", name));
  Fd from = open_in_root(root_, source.parent, O_PATH | O_DIRECTORY);
  struct stat there{};
  if (!from.ok() || ::fstatat(from.get(), source.name.c_str(), &there, AT_SYMLINK_NOFOLLOW) != 0)
    return fail(ErrorCode::kInvalid,
                fmt::format("layer: {} is a hard link to {}, which is not in the layer before it", name, target));
  struct stat self{};
  if (::fstatat(parent, name.c_str(), &self, AT_SYMLINK_NOFOLLOW) == 0 && self.st_ino == there.st_ino &&
      self.st_dev == there.st_dev)
    return {};
  bool was_whiteout = false;
  MAINSTAY_TRY_VOID(clear_way(parent, name, false, &was_whiteout));
  if (::linkat(from.get(), source.name.c_str(), parent, name.c_str(), 0) != 0)
    return errno_error("layer: link " + name);
  return {};
}

base::Result<> Unpacker::symbolic_link(int parent, const std::string& name, archive_entry* e) {
  const char* target = archive_entry_symlink(e);
  if (target == nullptr || *target == '\0' || std::strlen(target) > limits_.max_path)
    return fail(ErrorCode::kInvalid, fmt::format("layer: symbolic link {} has no valid target", name));
  bool was_whiteout = false;
  MAINSTAY_TRY_VOID(clear_way(parent, name, false, &was_whiteout));
  if (::symlinkat(target, parent, name.c_str()) != 0) return errno_error("layer: link " + name);
  if (owner_) {
    [[maybe_unused]] const int ignored = ::fchownat(parent, name.c_str(), static_cast<uid_t>(archive_entry_uid(e)),
                                                    static_cast<gid_t>(archive_entry_gid(e)), AT_SYMLINK_NOFOLLOW);
  }
  return {};
}

base::Result<> Unpacker::entry(archive_entry* e) {
  MAINSTAY_TRY(Place where, place(archive_entry_pathname(e)));
  if (where.name.empty()) {  // the root itself
    Fd fd(::openat(root_, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (fd.ok() && archive_entry_filetype(e) == AE_IFDIR) attributes(fd.get(), e);
    return {};
  }
  MAINSTAY_TRY(const int parent, open_parent(where.parent));
  if (where.name == kOpaque) return whiteout(parent, "", true);
  if (where.name.starts_with(kWhiteoutMeta)) return {};  // aufs' own bookkeeping
  if (where.name.starts_with(kWhiteout)) {
    const std::string hidden = where.name.substr(kWhiteout.size());
    if (hidden.empty() || hidden == "." || hidden == "..")
      return fail(ErrorCode::kInvalid, "layer: a whiteout without a name");
    return whiteout(parent, hidden, false);
  }
  if (const char* target = archive_entry_hardlink(e)) return hard_link(parent, where.name, target);
  switch (archive_entry_filetype(e)) {
    case AE_IFDIR:
      return directory(parent, where.name, e);
    case AE_IFREG:
      return regular(parent, where.name, e);
    case AE_IFLNK:
      return symbolic_link(parent, where.name, e);
    default:
      ++report_.skipped_devices;
      return {};
  }
}

base::Result<UnpackReport> Unpacker::run() {
  for (;;) {
    archive_entry* e = nullptr;
    const int status = archive_read_next_header(in_, &e);
    if (status == ARCHIVE_EOF) return report_;
    if (status != ARCHIVE_OK && status != ARCHIVE_WARN)
      return fail(ErrorCode::kInvalid, fmt::format("layer: not a tar archive that can be read: {}",
                                                   archive_error_string(in_) ? archive_error_string(in_) : "unknown"));
    if (++report_.entries > limits_.max_entries)
      return fail(ErrorCode::kTooLarge, fmt::format("layer: over {} entries", limits_.max_entries));
    MAINSTAY_TRY_VOID(entry(e));
  }
}

base::Result<UnpackReport> unpack(Archive in, const std::filesystem::path& destination, const UnpackLimits& limits) {
  Fd root(::open(destination.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!root.ok()) return errno_error("cannot open " + destination.string());
  return Unpacker(in.get(), root.get(), limits).run();
}

}  // namespace

base::Result<UnpackReport> unpack_layer(const std::filesystem::path& file, const std::filesystem::path& destination,
                                        const UnpackLimits& limits) {
  Archive in = reader();
  if (archive_read_open_filename(in.get(), file.c_str(), 1u << 18) != ARCHIVE_OK)
    return fail(ErrorCode::kInvalid,
                fmt::format("layer {}: {}", file.filename().string(), archive_error_string(in.get())));
  return unpack(std::move(in), destination, limits);
}

base::Result<UnpackReport> unpack_layer_bytes(std::string_view bytes, const std::filesystem::path& destination,
                                              const UnpackLimits& limits) {
  Archive in = reader();
  if (archive_read_open_memory(in.get(), bytes.data(), bytes.size()) != ARCHIVE_OK)
    return fail(ErrorCode::kInvalid, fmt::format("layer: {}", archive_error_string(in.get())));
  return unpack(std::move(in), destination, limits);
}

}  // namespace mainstay::compute
