#include "capabilities/observe/segments.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>
#include <zstd.h>

#include <cstring>

#include "base/files.h"
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

base::Result<std::string> decompress(std::string_view packed) {
  const auto size = ::ZSTD_getFrameContentSize(packed.data(), packed.size());
  if (size == ZSTD_CONTENTSIZE_ERROR || size == ZSTD_CONTENTSIZE_UNKNOWN || size > kMaxSegment)
    return base::fail(base::ErrorCode::kInvalid, "not a log segment of ours");
  std::string out(size, '\0');
  const std::size_t n = ::ZSTD_decompress(out.data(), out.size(), packed.data(), packed.size());
  if (::ZSTD_isError(n)) return base::fail(base::ErrorCode::kInvalid, "a damaged log segment");
  return out;
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
  while (!text.empty()) {
    const auto end = text.find('\n');
    if (end == std::string_view::npos) break;
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end + 1);
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
    } else if (const auto record = decode(line)) {
      if (first_us_ == 0) first_us_ = record->time_us;
      last_us_ = std::max(last_us_, record->time_us);
    }
  }
  if (good < text.size()) fs::resize_file(open_path(), good);
  size_ = good;
  return {};
}

base::Result<> Segments::append(const std::vector<LogRecord>& records, const std::vector<Position>& positions) {
  std::string data;
  for (const LogRecord& r : records) encode(r, data);
  for (const Position& p : positions) fmt::format_to(std::back_inserter(data), "{}{}\t{}\n", kMark, p.offset, p.file);
  MAINSTAY_TRY_VOID(append_durably(open_path(), data));
  for (const Position& p : positions) positions_[p.file] = p.offset;
  for (const LogRecord& r : records) {
    if (first_us_ == 0) first_us_ = r.time_us;
    first_us_ = std::min(first_us_, r.time_us);
    last_us_ = std::max(last_us_, r.time_us);
  }
  size_ += data.size();
  return size_ >= kRotateBytes ? rotate() : base::Result<>{};
}

base::Result<> Segments::rotate() {
  MAINSTAY_TRY(const std::string text, base::read_file(open_path(), kMaxSegment));
  const fs::path closed = folder_ / fmt::format("{:020}-{:020}.log.zst", first_us_, last_us_);
  MAINSTAY_TRY_VOID(base::write_file(closed, compress(text), 0640));
  // The next segment begins with where everything stands: the marks of the closed one are not read again. A crash
  // between these two writes leaves the lines twice, in the closed and in the open one; scan() of a span shows them
  // twice until the next rotation, which is better than losing them.
  std::string head;
  for (const auto& [file, offset] : positions_)
    fmt::format_to(std::back_inserter(head), "{}{}\t{}\n", kMark, offset, file);
  MAINSTAY_TRY_VOID(base::write_file(open_path(), head, 0640));
  size_ = head.size();
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

base::Result<Segments::Scanned> Segments::scan(const fs::path& folder, const Scan& scan) {
  Scanned done;
  // The open segment is the newest there is; its times are known only by reading it.
  const auto open_segment = [&]() -> base::Result<bool> {
    std::error_code missing;
    if (!fs::exists(folder / "open.log", missing)) return true;
    if (!scan.newest_first && scan.go_on && !scan.go_on(scan.from_us)) return false;
    MAINSTAY_TRY(const std::string text, base::read_file(folder / "open.log", kMaxSegment));
    ++done.segments;
    done.bytes += text.size();
    return scan_text(text, scan);
  };
  if (scan.newest_first) {
    MAINSTAY_TRY(const bool more, open_segment());
    if (!more) return done;
  }
  std::vector<Closed> closed = closed_segments(folder);
  // Times of different containers overlap: by their newest record, so that go_on's bound holds.
  if (scan.newest_first)
    std::sort(closed.begin(), closed.end(), [](const Closed& a, const Closed& b) { return a.to_us > b.to_us; });
  for (const Closed& c : closed) {
    if (c.to_us < scan.from_us || c.from_us > scan.to_us) {
      ++done.skipped;
      continue;
    }
    if (scan.go_on && !scan.go_on(scan.newest_first ? c.to_us : c.from_us)) return done;
    auto packed = base::read_file(c.path, kMaxSegment);
    if (!packed) continue;  // trimmed a moment ago
    MAINSTAY_TRY(const std::string text, decompress(*packed));
    ++done.segments;
    done.bytes += text.size();
    if (!scan_text(text, scan)) return done;
  }
  if (!scan.newest_first) {
    MAINSTAY_TRY(const bool more, open_segment());
    static_cast<void>(more);
  }
  return done;
}

}  // namespace mainstay::observe
