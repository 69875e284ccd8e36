// LogQL over the kept logs of the namespaces a caller may see. Blocking: pool threads. Reads files only.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "base/json.h"
#include "capabilities/observe/log_pipeline.h"
#include "capabilities/observe/log_record.h"
#include "capabilities/observe/logql.h"

namespace mainstay::observe {

// A namespace that may be searched, and whose it is.
struct LogSpace {
  std::string ns, team;
  bool logs = true, audit = true;  // what the caller may see of it
};

// The labels of a stream: namespace, team, source, pod, container, workload, stream (stdout, stderr); no empty ones.
StreamLabels labels_of(const LogSpace& space, const RecordView& record);
bool selects(const LogSelector& selector, const StreamLabels& labels);

struct LogSpan {
  std::int64_t from_us = 0, to_us = INT64_MAX;  // both included
};
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

struct CountedSeries {
  StreamLabels labels;
  std::vector<double> values;  // one a step; NaN where there was no line in the range
};
struct CountSteps {
  std::int64_t start_us = 0, step_us = 1;
  std::size_t count = 1;  // at start, start + step, …
};
inline constexpr std::size_t kMaxSteps = 11'000;
base::Result<std::vector<CountedSeries>> count_lines(const std::filesystem::path& folder,
                                                     const std::vector<LogSpace>& spaces,
                                                     const LogExpression& expression, CountSteps steps);

}  // namespace mainstay::observe
