#include "capabilities/compute/logs/cri_log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "base/strings.h"
#include "capabilities/compute/fs.h"

namespace mainstay::compute {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t kBlock = 64 * 1024;
// conmon cuts lines at its buffer's size (8 KiB); what is longer is not its.
constexpr std::size_t kMaxLine = 1u << 20;

// Lines that end here, counted as users see them: pieces of a line (P) do not count.
std::int64_t count_lines(const fs::path& file) {
  Fd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.ok()) return 0;
  std::int64_t lines = 0;
  std::string rest;
  std::vector<char> buffer(kBlock);
  for (;;) {
    const ssize_t n = ::read(fd.get(), buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return lines;
    std::string_view data(buffer.data(), static_cast<std::size_t>(n));
    while (!data.empty()) {
      const auto end = data.find('\n');
      // Only the head of a line says whether it is a piece.
      if (rest.size() < 64)
        rest.append(data.substr(0, std::min<std::size_t>(end == std::string_view::npos ? data.size() : end, 64)));
      if (end == std::string_view::npos) break;
      const auto parsed = parse_cri_line(rest);
      if (!parsed || !parsed->partial) ++lines;
      rest.clear();
      data.remove_prefix(end + 1);
    }
  }
}

}  // namespace

std::optional<CriLine> parse_cri_line(std::string_view line) {
  CriLine out;
  const auto first = line.find(' ');
  if (first == std::string_view::npos || first < 20 || first > 40) return std::nullopt;
  out.stamp = line.substr(0, first);
  line.remove_prefix(first + 1);
  if (line.starts_with("stderr ")) {
    out.standard_error = true;
  } else if (!line.starts_with("stdout ")) {
    return std::nullopt;
  }
  line.remove_prefix(7);
  // Tags are separated by colons; the first says whether the line goes on.
  if (line.empty() || (line[0] != 'F' && line[0] != 'P')) return std::nullopt;
  out.partial = line[0] == 'P';
  const auto end = line.find(' ');
  if (end == std::string_view::npos) return line.size() == 1 ? std::optional(out) : std::nullopt;
  out.text = line.substr(end + 1);
  return out;
}

CriLogReader::CriLogReader(fs::path file, LogQuery query) : file_(std::move(file)), query_(std::move(query)) {
  if (!query_.tail_lines) return;
  const std::int64_t older = count_lines(file_.string() + ".1"), newer = count_lines(file_);
  skip_lines_ = std::max<std::int64_t>(older + newer - std::max<std::int64_t>(*query_.tail_lines, 0), 0);
}

CriLogReader::~CriLogReader() {
  if (fd_ >= 0) ::close(fd_);
}

bool CriLogReader::open_next() {
  struct stat info{};
  if (rotated_first_) {
    rotated_first_ = false;
    fd_ = ::open((file_.string() + ".1").c_str(), O_RDONLY | O_CLOEXEC);
    if (fd_ >= 0) return true;
  }
  if (::stat(file_.c_str(), &info) != 0 || info.st_ino == inode_) return false;
  if (fd_ >= 0) ::close(fd_);
  fd_ = ::open(file_.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd_ < 0 || ::fstat(fd_, &info) != 0) return false;
  inode_ = info.st_ino;
  return true;
}

void CriLogReader::format(std::string_view line, std::string& out) {
  const auto parsed = parse_cri_line(line);
  const bool continues = in_line_;
  in_line_ = parsed && parsed->partial;
  if (skip_lines_ > 0) {
    if (!in_line_) --skip_lines_;
    return;
  }
  if (parsed && query_.since) {
    const auto time = base::parse_rfc3339(parsed->stamp);
    if (time && *time < *query_.since) return;
  }
  std::string text;
  if (query_.timestamps && parsed && !continues) text.append(parsed->stamp).append(" ");
  text.append(parsed ? parsed->text : line);
  if (!in_line_) text += '\n';
  if (query_.limit_bytes) {
    if (static_cast<std::int64_t>(text.size()) > *query_.limit_bytes)
      text.resize(static_cast<std::size_t>(std::max<std::int64_t>(*query_.limit_bytes, 0)));
    *query_.limit_bytes -= static_cast<std::int64_t>(text.size());
  }
  out += text;
}

std::string CriLogReader::next() {
  std::string out;
  std::vector<char> buffer(kBlock);
  while (out.empty() && !limit_reached()) {
    if (fd_ < 0 && !open_next()) return out;
    const ssize_t n = ::read(fd_, buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      if (!open_next()) return out;  // nothing more, and no newer file
      continue;
    }
    std::string_view data(buffer.data(), static_cast<std::size_t>(n));
    for (auto end = data.find('\n'); end != std::string_view::npos && !limit_reached(); end = data.find('\n')) {
      rest_.append(data.substr(0, end));
      format(rest_, out);
      rest_.clear();
      data.remove_prefix(end + 1);
    }
    if (rest_.size() < kMaxLine) rest_.append(data);
  }
  return out;
}

std::string last_output(const fs::path& file, std::size_t max_bytes) {
  LogQuery query;
  query.tail_lines = 80;
  CriLogReader reader(file, query);
  std::string out;
  for (std::string piece = reader.next(); !piece.empty(); piece = reader.next()) {
    out += piece;
    if (out.size() > max_bytes) out.erase(0, out.size() - max_bytes);
  }
  return out;
}

}  // namespace mainstay::compute
