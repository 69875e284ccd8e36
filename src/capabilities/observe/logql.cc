// The half of LogQL's parser that reads expressions, and what its parts match.
#include "capabilities/observe/logql.h"

#include <fmt/format.h>
#include <re2/re2.h>

#include <algorithm>

#include "capabilities/observe/logql_cursor.h"

namespace mainstay::observe {
namespace {

constexpr std::size_t kMaxLength = 8000;
constexpr std::size_t kMaxOperands = 20;  // of one query: each scans logs of its own

using Kind = LogExpression::Kind;

class Parser {
 public:
  explicit Parser(std::string_view text) : in_(text) {}

  base::Result<LogExpression> run() {
    MAINSTAY_TRY(LogExpression out, expression(0, 0));
    if (!in_.at_end()) return in_.wrong("the end of the query");
    return out;
  }

 private:
  struct Operator {
    std::string_view sign;
    BinaryOp op;
    int level;  // binds closer the higher it is
  };
  static constexpr Operator kOperators[] = {
      {"or", BinaryOp::kOr, 1},        {"and", BinaryOp::kAnd, 2},     {"unless", BinaryOp::kUnless, 2},
      {"==", BinaryOp::kEqual, 3},     {"!=", BinaryOp::kNotEqual, 3}, {">=", BinaryOp::kGreaterEqual, 3},
      {"<=", BinaryOp::kLessEqual, 3}, {">", BinaryOp::kGreater, 3},   {"<", BinaryOp::kLess, 3},
      {"+", BinaryOp::kAdd, 4},        {"-", BinaryOp::kSubtract, 4},  {"*", BinaryOp::kMultiply, 5},
      {"/", BinaryOp::kDivide, 5},     {"%", BinaryOp::kModulo, 5},    {"^", BinaryOp::kPower, 6}};

  const Operator* operator_here(int least) {
    const std::string_view word = in_.peek_name();
    for (const Operator& o : kOperators) {
      const bool is_word = std::isalpha(static_cast<unsigned char>(o.sign[0]));
      if (is_word ? word != o.sign : !in_.rest().starts_with(o.sign)) continue;
      return o.level >= least ? &o : nullptr;
    }
    return nullptr;
  }

  // By precedence: operators of `least` and those that bind closer.
  base::Result<LogExpression> expression(int depth, int least) {
    if (depth > kMaxQueryDepth) return in_.wrong("fewer parentheses");
    MAINSTAY_TRY(LogExpression left, operand(depth));
    while (const Operator* found = operator_here(least)) {
      const std::size_t before = in_.position();
      in_.take(found->sign);
      if (left.lines()) {
        in_.back_to(before);
        return in_.wrong("the end of the query: lines cannot be reckoned with");
      }
      LogExpression made;
      made.kind = Kind::kBinary;
      made.op = found->op;
      MAINSTAY_TRY_VOID(modifiers(made, found->level));
      // Only a power is read from the right.
      MAINSTAY_TRY(LogExpression right, expression(depth + 1, found->level + (found->op == BinaryOp::kPower ? 0 : 1)));
      if (right.lines()) return in_.wrong("a range function: lines cannot be reckoned with");
      const bool plain = left.kind == Kind::kNumber || right.kind == Kind::kNumber;
      if (found->level < 3 && plain) return in_.wrong("series on both sides of and, or and unless");
      made.parts.push_back(std::move(left));
      made.parts.push_back(std::move(right));
      left = std::move(made);
    }
    return left;
  }

  base::Result<> modifiers(LogExpression& out, int level) {
    if (in_.take_word("bool")) {
      if (level != 3) return in_.wrong("bool after a comparison only");
      out.as_bool = true;
    }
    const std::string_view word = in_.peek_name();
    if (word == "on" || word == "ignoring") {
      in_.name();
      out.grouping.given = true;
      out.grouping.without = word == "ignoring";
      MAINSTAY_TRY(out.grouping.labels, in_.names());
    }
    if (const std::string_view many = in_.peek_name(); many == "group_left" || many == "group_right")
      return in_.unsupported("modifier", many, "each series must match one at most");
    return {};
  }

  base::Result<LogExpression> operand(int depth) {
    LogExpression out;
    const char next = in_.peek();
    if (next != '(' && ++operands_ > kMaxOperands) return in_.wrong("at most 20 operands");
    if (next == '{') {
      MAINSTAY_TRY_VOID(parse_selector(in_, out.selector, nullptr));
      return out;
    }
    if (in_.take("(")) {
      MAINSTAY_TRY(out, expression(depth + 1, 0));
      if (!in_.take(")")) return in_.wrong(")");
      // ({…}) |= "x"
      if (out.lines()) {
        MAINSTAY_TRY_VOID(parse_stages(in_, out.selector, nullptr));
      }
      return out;
    }
    if (in_.peek_name().empty()) {
      out.kind = Kind::kNumber;
      const bool number = (next >= '0' && next <= '9') || next == '-' || next == '+' || next == '.';
      if (!number) return in_.wrong("a selector {, a number or a function");
      MAINSTAY_TRY(out.number, in_.number());
      return out;
    }
    return function(depth);
  }

  base::Result<LogExpression> function(int depth) {
    static constexpr std::pair<std::string_view, RangeFunction> kRanges[] = {
        {"count_over_time", RangeFunction::kCount},      {"rate", RangeFunction::kRate},
        {"bytes_over_time", RangeFunction::kBytes},      {"bytes_rate", RangeFunction::kBytesRate},
        {"sum_over_time", RangeFunction::kSum},          {"avg_over_time", RangeFunction::kAvg},
        {"min_over_time", RangeFunction::kMin},          {"max_over_time", RangeFunction::kMax},
        {"first_over_time", RangeFunction::kFirst},      {"last_over_time", RangeFunction::kLast},
        {"stddev_over_time", RangeFunction::kStddev},    {"stdvar_over_time", RangeFunction::kStdvar},
        {"quantile_over_time", RangeFunction::kQuantile}};
    static constexpr std::pair<std::string_view, Aggregation> kAggregations[] = {
        {"sum", Aggregation::kSum},       {"min", Aggregation::kMin},           {"max", Aggregation::kMax},
        {"avg", Aggregation::kAvg},       {"count", Aggregation::kCount},       {"stddev", Aggregation::kStddev},
        {"stdvar", Aggregation::kStdvar}, {"topk", Aggregation::kTopk},         {"bottomk", Aggregation::kBottomk},
        {"sort", Aggregation::kSort},     {"sort_desc", Aggregation::kSortDesc}};
    const std::size_t before = (in_.blanks(), in_.position());
    const std::string_view word = in_.name();
    for (const auto& [text, function] : kRanges) {
      if (word == text) return range_function(function);
    }
    for (const auto& [text, aggregation] : kAggregations) {
      if (word == text) return aggregate(aggregation, depth);
    }
    if (word == "vector") {
      LogExpression out;
      out.kind = Kind::kVector;
      if (!in_.take("(")) return in_.wrong("(");
      MAINSTAY_TRY(out.number, in_.number());
      if (!in_.take(")")) return in_.wrong(")");
      return out;
    }
    in_.back_to(before);
    return in_.unsupported("function", word,
                           "there are count_over_time, rate, bytes_over_time, bytes_rate, of unwrapped numbers sum, "
                           "avg, min, max, first, last, stddev, stdvar and quantile with _over_time; sum, min, max, "
                           "avg, count, stddev, stdvar, topk, bottomk, sort, sort_desc and vector");
  }

  base::Result<> range(LogExpression& out) {
    if (!in_.take("[")) return in_.wrong("a range such as [5m]");
    const auto end = in_.rest().find(']');
    if (end == std::string_view::npos) return in_.wrong("]");
    MAINSTAY_TRY(out.range, in_.duration(in_.rest().substr(0, end)));
    in_.back_to(in_.position() + end + 1);
    if (!in_.take_word("offset")) return {};
    in_.blanks();
    const auto length =
        std::min(in_.rest().find_first_not_of("0123456789.abcdefghijklmnopqrstuvwxyz"), in_.rest().size());
    MAINSTAY_TRY(out.offset, in_.duration(in_.rest().substr(0, length)));
    in_.back_to(in_.position() + length);
    return {};
  }

  base::Result<LogExpression> range_function(RangeFunction function) {
    LogExpression out;
    out.kind = Kind::kRange;
    out.function = function;
    if (!in_.take("(")) return in_.wrong("(");
    if (function == RangeFunction::kQuantile) {
      MAINSTAY_TRY(out.number, in_.number());
      if (!in_.take(",")) return in_.wrong("\",\"");
    }
    const bool nested = in_.take("(");
    MAINSTAY_TRY_VOID(parse_selector(in_, out.selector, &out.unwrap));
    if (nested && !in_.take(")")) return in_.wrong(")");
    MAINSTAY_TRY_VOID(range(out));
    // Stages may also stand after the range.
    MAINSTAY_TRY_VOID(parse_stages(in_, out.selector, &out.unwrap));
    if (!in_.take(")")) return in_.wrong(")");
    const bool counts =
        function == RangeFunction::kCount || function == RangeFunction::kBytes || function == RangeFunction::kBytesRate;
    if (counts && out.unwrap) return in_.wrong("a function of numbers, such as sum_over_time: it has unwrap");
    if (!counts && function != RangeFunction::kRate && !out.unwrap)
      return in_.wrong("\"| unwrap LABEL\" before the range: the function looks at numbers");
    MAINSTAY_TRY_VOID(grouping(out.grouping));
    if (out.grouping.given && !out.unwrap) return in_.wrong("an aggregation around it, as sum by (…): it counts lines");
    return out;
  }

  base::Result<> grouping(Grouping& out) {
    const std::string_view word = in_.peek_name();
    if (out.given || (word != "by" && word != "without")) return {};
    in_.name();
    out.given = true;
    out.without = word == "without";
    MAINSTAY_TRY(out.labels, in_.names());
    return {};
  }

  base::Result<LogExpression> aggregate(Aggregation aggregation, int depth) {
    LogExpression out;
    out.kind = Kind::kAggregate;
    out.aggregation = aggregation;
    const bool sorts = aggregation == Aggregation::kSort || aggregation == Aggregation::kSortDesc;
    if (!sorts) {
      MAINSTAY_TRY_VOID(grouping(out.grouping));
    }
    if (!in_.take("(")) return in_.wrong("(");
    if (aggregation == Aggregation::kTopk || aggregation == Aggregation::kBottomk) {
      MAINSTAY_TRY(out.number, in_.number());
      if (out.number < 1 || out.number > 1000) return in_.wrong("a number of series from 1 to 1000");
      if (!in_.take(",")) return in_.wrong("\",\"");
    }
    MAINSTAY_TRY(LogExpression inner, expression(depth + 1, 0));
    if (inner.lines() || inner.kind == Kind::kNumber) return in_.wrong("a range function within the aggregation");
    if (!in_.take(")")) return in_.wrong(")");
    if (!sorts) {
      MAINSTAY_TRY_VOID(grouping(out.grouping));
    }
    out.parts.push_back(std::move(inner));
    return out;
  }

  Cursor in_;
  std::size_t operands_ = 0;
};

void collect(const LogExpression& expression, std::vector<const LogSelector*>& out) {
  if (expression.kind == Kind::kLines || expression.kind == Kind::kRange) out.push_back(&expression.selector);
  for (const LogExpression& part : expression.parts) collect(part, out);
}

}  // namespace

bool LabelMatcher::matches(std::string_view text) const {
  switch (op) {
    case MatchOp::kEqual:
      return text == value;
    case MatchOp::kNotEqual:
      return text != value;
    case MatchOp::kRegex:
      return RE2::PartialMatch(text, *regex);
    case MatchOp::kNotRegex:
      return !RE2::PartialMatch(text, *regex);
  }
  return false;
}

bool LineFilter::matches(std::string_view line) const {
  switch (op) {
    case MatchOp::kEqual:
      return line.find(text) != std::string_view::npos;
    case MatchOp::kNotEqual:
      return line.find(text) == std::string_view::npos;
    case MatchOp::kRegex:
      return RE2::PartialMatch(line, *regex);
    case MatchOp::kNotRegex:
      return !RE2::PartialMatch(line, *regex);
  }
  return false;
}

bool LabelFilter::matches(std::string_view value) const {
  if (compare == Compare::kText) return text.matches(value);
  const auto found = number_of(value, unit);
  if (!found) return compare == Compare::kNotEqual;
  switch (compare) {
    case Compare::kEqual:
      return *found == number;
    case Compare::kNotEqual:
      return *found != number;
    case Compare::kGreater:
      return *found > number;
    case Compare::kGreaterEqual:
      return *found >= number;
    case Compare::kLess:
      return *found < number;
    default:
      return *found <= number;
  }
}

bool LogSelector::parses() const {
  return std::any_of(stages.begin(), stages.end(), [](const PipelineStage& s) {
    return s.kind != PipelineStage::Kind::kLine && s.kind != PipelineStage::Kind::kLabels && !s.changes_line();
  });
}

std::vector<const LogSelector*> selectors_of(const LogExpression& expression) {
  std::vector<const LogSelector*> out;
  collect(expression, out);
  return out;
}

base::Result<LogExpression> parse_logql(std::string_view text) {
  if (text.size() > kMaxLength)
    return base::fail(base::ErrorCode::kInvalid, fmt::format("query: longer than {} characters", kMaxLength));
  return Parser(text).run();
}

}  // namespace mainstay::observe
