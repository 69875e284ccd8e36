// One kept line of output, its form on disk, and the CRI form it came in. No I/O.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/json.h"
#include "base/result.h"

namespace mainstay::observe {

struct LogRecord {
  std::int64_t time_us = 0;  // since 1970
  std::string pod, container, workload;
  char stream = 'o';  // o: stdout, e: stderr; of other sources v: an Event, g: the edge's access log, a: the audit log
  std::string line;   // without its newline; at most kMaxLine
};
inline constexpr std::size_t kMaxLine = 64 * 1024;

// On disk: "<time_us>\t<stream>\t<pod>\t<container>\t<workload>\t<line>\n"; a line cannot hold a newline, so nothing is
// escaped.
void encode(const LogRecord& record, std::string& out);
std::optional<LogRecord> decode(std::string_view line);  // nullopt: not a record (a position mark, a torn end)
boost::json::object to_json(const LogRecord& record);
// The same record where it lies: valid as long as the text.
struct RecordView {
  std::int64_t time_us = 0;
  char stream = 'o';
  std::string_view pod, container, workload, line;
  std::string_view identity;  // stream, pod, container and workload in one piece: the same for all lines of one source
};
std::optional<RecordView> view(std::string_view line);
LogRecord copy(const RecordView& view);
// "container", "events", "edge" or "audit".
std::string_view source_of(char stream);

// A line of a CRI log: "2016-10-06T00:17:09.669794202Z stdout F text". `partial`: more of it follows in the next (tag
// P).
struct CriLine {
  std::int64_t time_us = 0;
  char stream = 'o';
  bool partial = false;
  std::string_view text;
};
std::optional<CriLine> parse_cri(std::string_view line);

}  // namespace mainstay::observe
