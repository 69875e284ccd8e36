#include "capabilities/observe/segments.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include <cstring>

#include "base/files.h"
#include "base/log.h"
#include "base/strings.h"

namespace mainstay::observe {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kMark = "#pos\t";  // "#pos\t<offset>\t<file>\n" after the lines it speaks of
constexpr std::size_t kMaxSegment = 256u << 20;

base::Error io_error(const fs::path& path, int error) {
  const auto code = error == ENOSPC || error == EDQUOT ? base::ErrorCode::kExhausted : base::ErrorCode::kInternal;
  return {code, fmt::format("{}: {}", path.string(), std::strerror(error))};
}

base::Result<> append_durably(const fs::path& path, std::string_view data) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
  if (fd < 0) return std::unexpected(io_error(path, errno));
  const off_t before = ::lseek(fd, 0, SEEK_END);
  while (!data.empty()) {
    const ssize_t n = ::write(fd, data.data(), data.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      const int error = errno;
      // What did get written would come again with the next try.
      if (::ftruncate(fd, before) != 0) { /* recover() cuts it at the next start */
      }
      ::close(fd);
      return std::unexpected(io_error(path, error));
    }
    data.remove_prefix(static_cast<std::size_t>(n));
  }
  const int synced = ::fdatasync(fd);
  const int error = errno;
  ::close(fd);
  if (synced != 0) return std::unexpected(io_error(path, error));
  return {};
}

std::string compress(std::string_view text) {
  std::string out(::ZSTD_compressBound(text.size()), '\0');
  const std::size_t n = ::ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 3);
  out.resize(::ZSTD_isError(n) ? 0 : n);
  return out;
}

base::Result<> unpack(std::string_view packed, std::string& text) {
  const auto size = ::ZSTD_getFrameContentSize(packed.data(), packed.size());
  if (size == ZSTD_CONTENTSIZE_ERROR || size == ZSTD_CONTENTSIZE_UNKNOWN || size > kMaxSegment)
    return base::fail(base::ErrorCode::kInvalid, "not a log segment of ours");
  std::size_t n = 0;
  // Megabytes that are about to be written need not be zero first.
  text.resize_and_overwrite(size, [&](char* to, std::size_t room) {
    n = ::ZSTD_decompress(to, room, packed.data(), packed.size());
    return ::ZSTD_isError(n) ? 0 : n;
  });
  if (::ZSTD_isError(n)) return base::fail(base::ErrorCode::kInvalid, "a damaged log segment");
  return {};
}

// "<from>-<to>.log.zst", both in microseconds, zero-padded so that names sort by time.
struct Closed {
  std::int64_t from_us, to_us;
  fs::path path;
};
std::vector<Closed> closed_segments(const fs::path& folder) {
  std::vector<Closed> out;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    long long from = 0, to = 0;
    const std::string name = entry.path().filename();
    if (name.ends_with(".log.zst") && std::sscanf(name.c_str(), "%lld-%lld", &from, &to) == 2)
      out.push_back({from, to, entry.path()});
  }
  std::sort(out.begin(), out.end(), [](const Closed& a, const Closed& b) { return a.path < b.path; });
  return out;
}

// False where `each` wants no more.
bool scan_text(std::string_view text, const Segments::Scan& scan) {
  std::size_t at = 0;
  while (at < text.size()) {
    if (scan.prefilter) {
      const std::size_t hit = scan.prefilter->next(text, at);
      if (hit == std::string_view::npos) break;
      const auto before = text.substr(at, hit - at).rfind('\n');
      if (before != std::string_view::npos) at += before + 1;
    }
    const auto end = text.find('\n', at);
    if (end == std::string_view::npos) break;
    const std::string_view line = text.substr(at, end - at);
    at = end + 1;
    if (line.starts_with('#')) continue;
    const auto record = view(line);
    if (record && record->time_us >= scan.from_us && record->time_us <= scan.to_us && !scan.each(*record)) return false;
  }
  return true;
}

}  // namespace

base::Result<Segments> Segments::open(fs::path folder) {
  MAINSTAY_TRY_VOID(base::make_directories(folder, 0750));
  Segments segments(std::move(folder));
  MAINSTAY_TRY_VOID(segments.recover());
  return segments;
}

base::Result<> Segments::recover() {
  std::error_code missing;
  if (!fs::exists(open_path(), missing)) return {};
  MAINSTAY_TRY(const std::string text, base::read_file(open_path(), kMaxSegment));
  // Whatever follows the last whole mark belongs to an append that was never acknowledged.
  std::size_t good = 0;
  for (std::size_t at = 0, end; (end = text.find('\n', at)) != std::string::npos; at = end + 1) {
    const std::string_view line(text.data() + at, end - at);
    if (line.starts_with(kMark)) {
      const auto parts = base::split(line, '\t');
      std::uint64_t offset = 0;
      if (parts.size() == 3 &&
          std::from_chars(parts[1].data(), parts[1].data() + parts[1].size(), offset).ec == std::errc()) {
        positions_[std::string(parts[2])] = offset;
        good = end + 1;
      }
    } else if (const auto record = view(line)) {
      covers(record->time_us);
    }
  }
  if (good < text.size()) fs::resize_file(open_path(), good);
  size_ = good;
  // Killed within rotate(): the lines are in the closed segment already.
  if (const auto packed = base::read_file(closed_path(), kMaxSegment)) {
    std::string closed;
    if (unpack(*packed, closed) && closed == std::string_view(text).substr(0, good)) return begin_next();
  }
  return {};
}

fs::path Segments::closed_path() const { return folder_ / fmt::format("{:020}-{:020}.log.zst", first_us_, last_us_); }

void Segments::covers(std::int64_t time_us) {
  first_us_ = first_us_ == 0 ? time_us : std::min(first_us_, time_us);
  last_us_ = std::max(last_us_, time_us);
}

base::Result<> Segments::append(const std::vector<LogRecord>& records, const std::vector<Position>& positions) {
  std::string data;
  for (const LogRecord& r : records) encode(r, data);
  for (const Position& p : positions) fmt::format_to(std::back_inserter(data), "{}{}\t{}\n", kMark, p.offset, p.file);
  MAINSTAY_TRY_VOID(append_durably(open_path(), data));
  for (const Position& p : positions) positions_[p.file] = p.offset;
  for (const LogRecord& r : records) covers(r.time_us);
  size_ += data.size();
  if (size_ < rotate_at_) return {};
  // The lines are kept: where the segment cannot be closed, on a full disk as like as not, they must not come again.
  if (const auto closed = rotate(); !closed) {
    base::log::warn("observe", "closing a segment of logs: {}; it grows until that can be done",
                    closed.error().message);
    rotate_at_ = size_ + kRotateBytes / 8;
  }
  return {};
}

base::Result<> Segments::rotate() {
  MAINSTAY_TRY(const std::string text, base::read_file(open_path(), kMaxSegment));
  const std::string packed = compress(text);
  if (packed.empty()) return base::fail(base::ErrorCode::kInternal, "a segment cannot be compressed");
  MAINSTAY_TRY_VOID(base::write_file(closed_path(), packed, 0640));
  // A crash here leaves the lines twice, in the closed and in the open one: recover() sees to it.
  auto begun = begin_next();
  std::error_code ignored;
  if (!begun) fs::remove(closed_path(), ignored);
  return begun;
}

// The next segment begins with where everything stands: the marks of the closed one are not read again.
base::Result<> Segments::begin_next() {
  std::string head;
  for (const auto& [file, offset] : positions_)
    fmt::format_to(std::back_inserter(head), "{}{}\t{}\n", kMark, offset, file);
  MAINSTAY_TRY_VOID(base::write_file(open_path(), head, 0640));
  size_ = head.size();
  rotate_at_ = kRotateBytes;
  first_us_ = last_us_ = 0;
  return {};
}

void Segments::trim(std::uint64_t max_bytes) {
  std::vector<Closed> closed = closed_segments(folder_);
  std::uint64_t total = size_;
  std::error_code ignored;
  for (const Closed& c : closed) total += fs::file_size(c.path, ignored);
  for (const Closed& c : closed) {
    if (total <= max_bytes) break;
    total -= fs::file_size(c.path, ignored);
    fs::remove(c.path, ignored);
  }
}

base::Result<std::vector<Segments::Piece>> Segments::pieces(const fs::path& folder, const Scan& scan,
                                                            std::size_t* skipped) {
  const fs::path path = folder / "open.log";
  const auto inode = [&path] {
    struct stat info{};
    return ::stat(path.c_str(), &info) == 0 ? info.st_ino : 0;
  };
  std::vector<Closed> closed;
  std::optional<std::string> open;
  // A segment that is closed between the two would be read twice, or not at all.
  ino_t before = 0;
  do {
    before = inode();
    open.reset();
    if (before != 0) {
      MAINSTAY_TRY(open, base::read_file(path, kMaxSegment));
    }
    closed = closed_segments(folder);
  } while (before != inode());
  std::vector<Piece> out;
  // The open segment is the newest there is; its times are known only by looking at it.
  if (open) out.push_back({path, scan.from_us, INT64_MAX, std::move(open)});
  for (Closed& c : closed) {
    if (c.to_us < scan.from_us || c.from_us > scan.to_us) {
      if (skipped) ++*skipped;
      continue;
    }
    out.push_back({std::move(c.path), c.from_us, c.to_us, std::nullopt});
  }
  // Times of different containers overlap: by their newest record, so that the bound of those after it holds. Oldest
  // first the open one comes last.
  std::sort(out.begin(), out.end(), [&scan](const Piece& a, const Piece& b) {
    if (scan.newest_first) return a.to_us > b.to_us;
    return std::pair(a.text.has_value(), a.path) < std::pair(b.text.has_value(), b.path);
  });
  return out;
}

base::Result<bool> Segments::scan_piece(const Piece& piece, const Scan& scan, std::string& room, Scanned& done) {
  if (!piece.text) {
    const auto packed = base::read_file(piece.path, kMaxSegment);
    if (!packed) {
      std::error_code missing;
      if (fs::exists(piece.path, missing)) return std::unexpected(packed.error());
      return true;  // trimmed a moment ago
    }
    MAINSTAY_TRY_VOID(unpack(*packed, room));
  }
  const std::string_view text = piece.text ? *piece.text : room;
  ++done.segments;
  done.bytes += text.size();
  return scan_text(text, scan);
}

base::Result<Segments::Scanned> Segments::scan(const fs::path& folder, const Scan& scan) {
  Scanned done;
  std::string room;
  MAINSTAY_TRY(const std::vector<Piece> all, pieces(folder, scan, &done.skipped));
  for (const Piece& piece : all) {
    if (scan.go_on && !scan.go_on(scan.newest_first ? piece.to_us : piece.from_us)) break;
    MAINSTAY_TRY(const bool more, scan_piece(piece, scan, room, done));
    if (!more) break;
  }
  return done;
}

}  // namespace mainstay::observe
