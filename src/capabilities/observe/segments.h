// The files of one namespace's logs, newest last: closed ones compressed and named by the times they cover, one open to
// append. Every append carries the positions of the files its lines came from, so lines and progress are one write.
// Blocking; called from the pool, one call at a time for each namespace.
#pragma once
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
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

  // Calls `each` for the records of a span of time, oldest segment first; `each` returns false to stop. Reads files
  // only, so it may run beside append().
  static base::Result<> scan(const std::filesystem::path& folder, std::int64_t from_us, std::int64_t to_us,
                             const std::function<bool(LogRecord&&)>& each);

 private:
  explicit Segments(std::filesystem::path folder) : folder_(std::move(folder)) {}
  base::Result<> recover();
  base::Result<> rotate();
  std::filesystem::path open_path() const { return folder_ / "open.log"; }

  std::filesystem::path folder_;
  std::uint64_t size_ = 0;
  std::int64_t first_us_ = 0, last_us_ = 0;
  std::map<std::string, std::uint64_t> positions_;
};

}  // namespace mainstay::observe
