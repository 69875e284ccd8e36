// Container output in the CRI format, as conmon's k8s-file driver writes it: "<RFC 3339 time> stdout|stderr F|P
// <text>". P marks a piece of a line that goes on. Reading is bounded whatever the file holds.
#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"

namespace mainstay::compute {

struct CriLine {
  std::string_view stamp, text;
  bool standard_error = false, partial = false;
};
// A line without its newline; nullopt where it has another form.
std::optional<CriLine> parse_cri_line(std::string_view line);

struct LogQuery {
  std::optional<std::int64_t> tail_lines, limit_bytes;
  std::optional<base::SystemTime> since;
  bool timestamps = false;
};

// Reads a log as users see it. Blocking: one thread at a time.
class CriLogReader {
 public:
  // `file` and, where it was rotated, `file`.1 before it. A missing file reads as empty.
  CriLogReader(std::filesystem::path file, LogQuery query);
  ~CriLogReader();
  CriLogReader(const CriLogReader&) = delete;
  // The next piece of output, at most about 64 KiB; "" when everything there is was read (call again later to follow).
  std::string next();
  bool limit_reached() const { return query_.limit_bytes && *query_.limit_bytes <= 0; }

 private:
  bool open_next();
  void format(std::string_view line, std::string& out);

  std::filesystem::path file_;
  LogQuery query_;
  int fd_ = -1;
  std::uint64_t inode_ = 0;
  bool rotated_first_ = true;    // the .1 file is still to be read
  std::int64_t skip_lines_ = 0;  // whole lines to leave out, for tail_lines
  std::string rest_;             // the begin of a line whose end is not written yet
  bool in_line_ = false;         // after a partial piece
};

// The last output of a container, at most `max_bytes` and 80 lines: the message of one that failed.
std::string last_output(const std::filesystem::path& file, std::size_t max_bytes);

}  // namespace mainstay::compute
