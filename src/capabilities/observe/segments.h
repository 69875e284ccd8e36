// The files of one namespace's logs, newest last: closed ones compressed and named by the times they cover, one open to
// append. Every append carries the positions of the files its lines came from, so lines and progress are one write.
// Blocking; called from the pool, one call at a time for each namespace.
#pragma once
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "capabilities/observe/log_prefilter.h"
#include "capabilities/observe/log_record.h"

namespace mainstay::observe {

struct Position {
  std::string file;          // the CRI log followed
  std::uint64_t offset = 0;  // all before it is kept
};

class Segments {
 public:
  static constexpr std::size_t kRotateBytes = 8u << 20;

  // Reads the open segment's positions; cuts a torn end off.
  static base::Result<Segments> open(std::filesystem::path folder);
  // Durable when it returns. kExhausted: the disk is full, nothing was kept.
  base::Result<> append(const std::vector<LogRecord>& records, const std::vector<Position>& positions);
  const std::map<std::string, std::uint64_t>& positions() const { return positions_; }
  void forget(const std::string& file) { positions_.erase(file); }
  // Removes the oldest closed segments until all take at most `max_bytes`.
  void trim(std::uint64_t max_bytes);

  // What a scan touched: segments outside the span are told by their names and never opened.
  struct Scanned {
    std::size_t segments = 0, skipped = 0;
    std::uint64_t bytes = 0;  // of text looked at
  };
  struct Scan {
    std::int64_t from_us = 0, to_us = INT64_MAX;
    const LinePrefilter* prefilter = nullptr;  // lines that it passes over are not shown
    bool newest_first = false;                 // segments, that is: within one, records come as they were appended
    // Asked before each further segment, with the newest (or, oldest first, the oldest) time that any further record
    // can have: false ends the scan.
    std::function<bool(std::int64_t bound_us)> go_on;
    std::function<bool(const RecordView&)> each;  // false ends the scan
  };
  // Reads files only, so it may run beside append().
  static base::Result<Scanned> scan(const std::filesystem::path& folder, const Scan& scan);

  // The same piece by piece, for those who look at several at once.
  struct Piece {
    std::filesystem::path path;
    std::int64_t from_us = 0, to_us = INT64_MAX;  // of its records
    std::optional<std::string> text;              // of the open segment, read with the list: it may be closed any time
  };
  // Those that the span touches, in the order of scan(): by their newest record, or by their oldest.
  static base::Result<std::vector<Piece>> pieces(const std::filesystem::path& folder, const Scan& scan,
                                                 std::size_t* skipped = nullptr);
  // One of them into scan.each, unpacked into `room`. False: `each` wants no more. One that is gone is empty.
  static base::Result<bool> scan_piece(const Piece& piece, const Scan& scan, std::string& room, Scanned& done);

 private:
  explicit Segments(std::filesystem::path folder) : folder_(std::move(folder)) {}
  base::Result<> recover();
  base::Result<> rotate();
  base::Result<> begin_next();
  std::filesystem::path closed_path() const;  // of the open segment, once it is closed
  void covers(std::int64_t time_us);          // a record of the open segment
  std::filesystem::path open_path() const { return folder_ / "open.log"; }

  std::filesystem::path folder_;
  std::uint64_t size_ = 0, rotate_at_ = kRotateBytes;
  std::int64_t first_us_ = 0, last_us_ = 0;
  std::map<std::string, std::uint64_t> positions_;
};

}  // namespace mainstay::observe
