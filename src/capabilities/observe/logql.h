// LogQL as far as a log panel and its graph need it: stream selectors, line filters, and counts over ranges with
// aggregations. No I/O; bounded in length and depth.
//
//   {namespace="shop-dev", pod=~"web.*"} |= "error" != "probe" |~ "5\\d\\d"
//   sum by (pod) (count_over_time({source="edge"} |= "500" [5m]))
//
//   {source="edge"} | json | status >= 500 and host =~ "web.*"
//   vector(1)+vector(1)
//
// Other operators (| pattern, | line_format, topk …) are refused by name, not passed over.
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

// name op "text", or name op number, of a label or of what a parser made of the line.
struct LabelFilter {
  enum class Compare { kText, kEqual, kNotEqual, kGreater, kGreaterEqual, kLess, kLessEqual };
  LabelMatcher text;  // its name for numbers too
  Compare compare = Compare::kText;
  double number = 0;
  bool matches(std::string_view value) const;  // what is no number fails every comparison but !=
};

// A step of the way that lines take after their stream was selected.
struct PipelineStage {
  enum class Kind { kLine, kJson, kLogfmt, kLabels };
  Kind kind = Kind::kLine;
  LineFilter line;
  std::vector<std::vector<LabelFilter>> any_of;  // kLabels: one whose filters all match
};

struct LogSelector {
  std::vector<LabelMatcher> matchers;
  std::vector<PipelineStage> stages;
  bool parses() const;                                        // whether lines get labels of their own
  const LabelMatcher* equal_to(std::string_view name) const;  // the matcher label="…" of this name, or null
};

enum class RangeFunction { kCountOverTime, kRate, kBytesOverTime, kBytesRate };
enum class Aggregation { kNone, kSum, kMin, kMax, kAvg, kCount };

struct LogExpression {
  std::optional<double> constant;  // of vectors or numbers alone; all else is empty then
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
