// LogQL as far as a log panel and its graph need it: stream selectors, line filters, and counts over ranges with
// aggregations. No I/O; bounded in length and depth.
//
//   {namespace="shop-dev", pod=~"web.*"} |= "error" != "probe" |~ "5\\d\\d"
//   sum by (pod) (count_over_time({source="edge"} |= "500" [5m]))
//
// Parsers (| json, | logfmt, | pattern) and label filters are refused by name, not passed over.
#pragma once
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace re2 {
class RE2;
}

namespace mainstay::observe {

enum class MatchOp { kEqual, kNotEqual, kRegex, kNotRegex };

// label="…"; regular expressions are anchored, as everywhere in Prometheus' world.
struct LabelMatcher {
  std::string name, value;
  MatchOp op = MatchOp::kEqual;
  std::shared_ptr<const re2::RE2> regex;
  bool matches(std::string_view text) const;
};

// |= != |~ !~; regular expressions are not anchored.
struct LineFilter {
  MatchOp op = MatchOp::kEqual;
  std::string text;
  std::shared_ptr<const re2::RE2> regex;
  bool matches(std::string_view line) const;
};

struct LogSelector {
  std::vector<LabelMatcher> matchers;
  std::vector<LineFilter> filters;
  const LabelMatcher* equal_to(std::string_view name) const;  // the matcher label="…" of this name, or null
};

enum class RangeFunction { kCountOverTime, kRate, kBytesOverTime, kBytesRate };
enum class Aggregation { kNone, kSum, kMin, kMax, kAvg, kCount };

struct LogExpression {
  LogSelector selector;
  bool metric = false;  // the rest counts only then
  RangeFunction function = RangeFunction::kCountOverTime;
  std::chrono::nanoseconds range{0};
  Aggregation aggregation = Aggregation::kNone;
  bool without = false;
  std::vector<std::string> grouping;
};

// kInvalid says where and what was expected.
base::Result<LogExpression> parse_logql(std::string_view text);

}  // namespace mainstay::observe
