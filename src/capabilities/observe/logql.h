// LogQL as Grafana's log panels, Explore and its query builder write it. No I/O; bounded in length, depth and parts.
//
//   {namespace="shop-dev", pod=~"web.*"} |= "error" != "probe" |~ "5\\d\\d"
//   {source="edge"} | json | status >= 500 and (host =~ "web.*" or time_ms > 1s) | line_format "{{.path}}"
//   sum by (pod) (count_over_time({source="edge"} |= "500" [5m]))
//   topk(3, sum by (path) (rate({source="edge"} | json | status = 500 [5m]))) > 0.1
//   quantile_over_time(0.99, {source="edge"} | json | unwrap time_ms [5m]) by (workload)
//
// What is not understood is refused by name, not passed over.
#pragma once
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace re2 {
class RE2;
}

namespace mainstay::observe {

class LineTemplate;

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
  enum class Unit { kNone, kDuration, kBytes };  // how a label's value is read: 3, 20ms, 5MB
  LabelMatcher text;                             // its name for numbers too
  Compare compare = Compare::kText;
  Unit unit = Unit::kNone;
  double number = 0;                           // seconds, bytes
  bool matches(std::string_view value) const;  // what is no number fails every comparison but !=
};
// The value as a number of that unit; nullopt where it is none.
std::optional<double> number_of(std::string_view value, LabelFilter::Unit unit);

// and, or and parentheses of them.
struct LabelCondition {
  enum class Kind { kFilter, kAnd, kOr };
  Kind kind = Kind::kFilter;
  LabelFilter filter;                 // kFilter
  std::vector<LabelCondition> parts;  // else
};

// `| json name="a.b[0]"`: the steps to one value.
struct Extract {
  std::string name;
  std::vector<std::string> path;  // an index is its digits
};

// `| pattern "<method> <path> <_>"`: texts, and between them what is taken.
struct LinePattern {
  struct Part {
    bool capture = false;
    std::string text;  // a literal, or the label's name; "" for <_>
  };
  std::vector<Part> parts;
};

// A step of the way that lines take after their stream was selected.
struct PipelineStage {
  enum class Kind {
    kLine,         // |= "x"
    kJson,         // | json, | json a="b.c"
    kLogfmt,       // | logfmt, | logfmt a="b"
    kPattern,      // | pattern "…"
    kRegexp,       // | regexp "(?P<name>…)"
    kLabels,       // | status >= 500
    kLineFormat,   // | line_format "{{.a}}"
    kLabelFormat,  // | label_format a=b, c="{{.d}}"
    kDrop,         // | drop a, b="x"
    kKeep,         // | keep a, b="x"
    kDecolorize    // | decolorize
  };
  Kind kind = Kind::kLine;
  LineFilter line;
  LabelCondition condition;
  std::vector<Extract> extracts;  // kJson, kLogfmt; empty: all there is
  LinePattern pattern;
  std::shared_ptr<const re2::RE2> regex;
  std::shared_ptr<const LineTemplate> format;  // kLineFormat
  // kLabelFormat: each label is renamed from another, or made by a template.
  struct Renamed {
    std::string name, from;
    std::shared_ptr<const LineTemplate> format;
  };
  std::vector<Renamed> renames;
  std::vector<LabelMatcher> labels;  // kDrop, kKeep: by name, and where `matched` by value
  std::vector<bool> matched;
  bool changes_line() const { return kind == Kind::kLineFormat || kind == Kind::kDecolorize; }
};

struct LogSelector {
  std::vector<LabelMatcher> matchers;
  std::vector<PipelineStage> stages;
  bool parses() const;  // whether a line's labels may be others than its stream's
};

// `| unwrap label`, with what stands after it: the numbers that a range function looks at.
struct Unwrap {
  std::string label;
  LabelFilter::Unit unit = LabelFilter::Unit::kNone;
};

enum class RangeFunction {
  kCount,
  kRate,
  kBytes,
  kBytesRate,
  // Of unwrapped numbers, with kRate:
  kSum,
  kAvg,
  kMin,
  kMax,
  kFirst,
  kLast,
  kStddev,
  kStdvar,
  kQuantile
};
enum class Aggregation { kSum, kMin, kMax, kAvg, kCount, kStddev, kStdvar, kTopk, kBottomk, kSort, kSortDesc };
enum class BinaryOp {
  kAdd,
  kSubtract,
  kMultiply,
  kDivide,
  kModulo,
  kPower,
  kEqual,
  kNotEqual,
  kGreater,
  kGreaterEqual,
  kLess,
  kLessEqual,
  kAnd,
  kOr,
  kUnless
};

// by (…) or without (…); on (…) or ignoring (…).
struct Grouping {
  bool given = false, without = false;
  std::vector<std::string> labels;
};

struct LogExpression {
  enum class Kind { kLines, kNumber, kVector, kRange, kAggregate, kBinary };
  Kind kind = Kind::kLines;
  LogSelector selector;  // kLines, kRange
  double number = 0;     // kNumber, kVector; the parameter of quantile_over_time, topk and bottomk
  RangeFunction function = RangeFunction::kCount;
  std::chrono::nanoseconds range{0}, offset{0};
  std::optional<Unwrap> unwrap;
  Grouping grouping;  // kAggregate, unwrapped kRange; of kBinary what is matched by
  Aggregation aggregation = Aggregation::kSum;
  BinaryOp op = BinaryOp::kAdd;
  bool as_bool = false;              // of a comparison: 0 or 1 in place of a filter
  std::vector<LogExpression> parts;  // of kAggregate one, of kBinary two
  bool lines() const { return kind == Kind::kLines; }
};
// The selectors of lines and ranges within it.
std::vector<const LogSelector*> selectors_of(const LogExpression& expression);

// kInvalid says where and what was expected.
base::Result<LogExpression> parse_logql(std::string_view text);

}  // namespace mainstay::observe
