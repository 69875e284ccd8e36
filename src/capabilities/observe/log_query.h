// LogQL over the kept logs of the namespaces a caller may see: lines and streams. Blocking: pool threads. Reads files
// only. Numbers are log_metrics.h's.
#pragma once
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "capabilities/observe/log_streams.h"

namespace mainstay::observe {

struct FoundLine {
  std::int64_t time_us = 0;
  std::size_t stream = 0;  // in FoundLines::streams
  std::string line;
  std::size_t order = 0;  // in which it was found: lines of one microsecond keep it
  StreamLabels parsed;    // the stream's labels and the line's own, where the selector parses lines
};
struct FoundLines {
  std::vector<StreamLabels> streams;
  std::vector<FoundLine> lines;  // oldest first
  std::uint64_t bytes = 0;       // looked at
  std::size_t segments = 0;      // opened
};
// The newest `limit` lines (or, not `newest`, the oldest).
base::Result<FoundLines> find_lines(const std::filesystem::path& folder, const std::vector<LogSpace>& spaces,
                                    const LogSelector& selector, LogSpan span, std::size_t limit, bool newest);

// The streams with a line in the span.
base::Result<std::vector<StreamLabels>> find_streams(const std::filesystem::path& folder,
                                                     const std::vector<LogSpace>& spaces,
                                                     const std::vector<LogSelector>& selectors, LogSpan span);

// How much a selector finds, without its stages.
struct LogStatistics {
  std::uint64_t streams = 0, segments = 0, bytes = 0, lines = 0;
};
base::Result<LogStatistics> log_statistics(const std::filesystem::path& folder, const std::vector<LogSpace>& spaces,
                                           const LogSelector& selector, LogSpan span);

}  // namespace mainstay::observe
