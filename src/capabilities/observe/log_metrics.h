// Numbers made of logs: LogQL's range functions, aggregations and operators, at a row of times. Blocking: pool threads.
#pragma once
#include <filesystem>
#include <vector>

#include "capabilities/observe/log_streams.h"

namespace mainstay::observe {

struct LogSeries {
  StreamLabels labels;
  std::vector<double> values;  // one a step; NaN where there is none
};
struct LogSteps {
  std::int64_t start_us = 0, step_us = 1;
  std::size_t count = 1;  // at start, start + step, …
};
inline constexpr std::size_t kMaxSteps = 11'000;
inline constexpr std::size_t kMaxPoints = 4'000'000;  // of all series of one operand

// What an expression is of lines, by whom.
struct LogSource {
  std::filesystem::path folder;
  std::vector<LogSpace> spaces;
};

struct LogNumbers {
  bool scalar = false;  // one series without labels
  std::vector<LogSeries> series;
};
// kInvalid and kTooLarge say what to change.
base::Result<LogNumbers> evaluate(const LogSource& source, const LogExpression& expression, LogSteps steps);

// A range function alone. `sum_of`: the caller adds up its series by this grouping, which may be done while counting.
base::Result<std::vector<LogSeries>> evaluate_range(const LogSource& source, const LogExpression& range, LogSteps steps,
                                                    const Grouping* sum_of);

// The labels that a grouping leaves.
StreamLabels grouped(const Grouping& grouping, const StreamLabels& labels);

}  // namespace mainstay::observe
