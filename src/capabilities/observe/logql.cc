#include "capabilities/observe/logql.h"

#include <fmt/format.h>
#include <re2/re2.h>

#include <algorithm>
#include <charconv>

#include "base/clock.h"

namespace mainstay::observe {
namespace {

constexpr std::size_t kMaxLength = 8000;
constexpr std::size_t kMaxParts = 50;  // matchers, filters, names to group by
constexpr int kMaxDepth = 16;          // of parentheses

bool is_name_start(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_name(char c) { return is_name_start(c) || (c >= '0' && c <= '9'); }

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  base::Result<LogExpression> run() {
    LogExpression out;
    if (const auto value = sum(0); value && peek() == '\0') {
      out.constant = *value;
      return out;
    }
    at_ = 0;
    MAINSTAY_TRY_VOID(expression(out, 0));
    blanks();
    if (at_ != text_.size()) return wrong("the end of the query");
    return out;
  }

 private:
  std::unexpected<base::Error> wrong(std::string_view expected) const {
    return base::fail(base::ErrorCode::kInvalid,
                      fmt::format("query: at character {}: expected {}{}", at_ + 1, expected,
                                  at_ < text_.size() ? fmt::format(", found \"{}\"", text_.substr(at_, 12)) : ""));
  }
  void blanks() {
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '#') {
        while (at_ < text_.size() && text_[at_] != '\n') ++at_;
      } else if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
        ++at_;
      } else {
        break;
      }
    }
  }
  bool take(std::string_view token) {
    blanks();
    if (!text_.substr(at_).starts_with(token)) return false;
    at_ += token.size();
    return true;
  }
  char peek() {
    blanks();
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  std::string_view name() {
    blanks();
    const std::size_t begin = at_;
    if (at_ < text_.size() && is_name_start(text_[at_])) {
      while (at_ < text_.size() && is_name(text_[at_])) ++at_;
    }
    return text_.substr(begin, at_ - begin);
  }

  // "…" with escapes or `…` without.
  base::Result<std::string> string() {
    blanks();
    if (at_ >= text_.size() || (text_[at_] != '"' && text_[at_] != '`')) return wrong("a quoted string");
    const char quote = text_[at_++];
    std::string out;
    while (at_ < text_.size() && text_[at_] != quote) {
      char c = text_[at_++];
      if (c == '\\' && quote == '"') {
        if (at_ >= text_.size()) break;
        MAINSTAY_TRY(c, escape());
      }
      out += c;
    }
    if (at_ >= text_.size()) return wrong("the end of the string");
    ++at_;
    return out;
  }
  base::Result<char> escape() {
    const char c = text_[at_++];
    switch (c) {
      case 'n':
        return '\n';
      case 't':
        return '\t';
      case 'r':
        return '\r';
      case '\\':
      case '"':
      case '\'':
        return c;
      default:
        --at_;
        return wrong("one of the escapes \\n \\t \\r \\\\ \\\"");
    }
  }

  base::Result<std::shared_ptr<const re2::RE2>> regex(const std::string& text, bool anchored) {
    RE2::Options options(RE2::Quiet);
    options.set_max_mem(4 << 20);
    auto made = std::make_shared<RE2>(anchored ? "^(?s:" + text + ")$" : text, options);
    if (!made->ok())
      return base::fail(base::ErrorCode::kInvalid,
                        fmt::format("query: \"{}\" is not a regular expression (RE2): {}", text, made->error()));
    return std::shared_ptr<const re2::RE2>(std::move(made));
  }

  base::Result<> selector(LogSelector& out) {
    if (!take("{")) return wrong("{");
    while (!take("}")) {
      if (out.matchers.size() >= kMaxParts) return wrong("at most 50 matchers");
      LabelMatcher matcher;
      matcher.name = name();
      if (matcher.name.empty()) return wrong("a label's name");
      if (take("=~")) {
        matcher.op = MatchOp::kRegex;
      } else if (take("!~")) {
        matcher.op = MatchOp::kNotRegex;
      } else if (take("!=")) {
        matcher.op = MatchOp::kNotEqual;
      } else if (!take("=")) {
        return wrong("one of = != =~ !~");
      }
      MAINSTAY_TRY(matcher.value, string());
      if (matcher.op == MatchOp::kRegex || matcher.op == MatchOp::kNotRegex) {
        MAINSTAY_TRY(matcher.regex, regex(matcher.value, true));
      }
      out.matchers.push_back(std::move(matcher));
      if (take("}")) break;
      if (!take(",")) return wrong("\",\" or \"}\"");
    }
    return filters(out);
  }

  base::Result<> filters(LogSelector& out) {
    for (;;) {
      PipelineStage stage;
      LineFilter& filter = stage.line;
      if (take("|=")) {
        filter.op = MatchOp::kEqual;
      } else if (take("|~")) {
        filter.op = MatchOp::kRegex;
      } else if (take("!=")) {
        filter.op = MatchOp::kNotEqual;
      } else if (take("!~")) {
        filter.op = MatchOp::kNotRegex;
      } else if (take("|")) {
        stage.kind = PipelineStage::Kind::kLabels;
      } else {
        return {};
      }
      if (out.stages.size() >= kMaxParts) return wrong("at most 50 filters and parsers");
      if (stage.kind == PipelineStage::Kind::kLabels) {
        MAINSTAY_TRY_VOID(operation(stage));
      } else {
        MAINSTAY_TRY(filter.text, string());
        if (filter.op == MatchOp::kRegex || filter.op == MatchOp::kNotRegex) {
          MAINSTAY_TRY(filter.regex, regex(filter.text, false));
        }
      }
      out.stages.push_back(std::move(stage));
    }
  }

  // What stands after a "|": a parser, or a filter of labels.
  base::Result<> operation(PipelineStage& out) {
    const std::size_t before = (blanks(), at_);
    const std::string_view word = name();
    const char next = peek();
    const bool filters_label = next == '=' || next == '!' || next == '<' || next == '>';
    if (!filters_label && (word == "json" || word == "logfmt")) {
      out.kind = word == "json" ? PipelineStage::Kind::kJson : PipelineStage::Kind::kLogfmt;
      if (is_name_start(next) || next == '-') return wrong(fmt::format("{} without parameters", word));
      return {};
    }
    if (word.empty()) return wrong("json, logfmt or a filter of a label; parentheses are not supported here");
    if (!filters_label) {
      at_ = before;
      return unsupported("operator", word, "there are line filters (|= != |~ !~), json, logfmt and filters of labels");
    }
    at_ = before;
    return label_filters(out);
  }

  // a = "x" and b > 5 or c =~ "y": "and" (or a comma) binds closer.
  base::Result<> label_filters(PipelineStage& out) {
    out.any_of.emplace_back();
    for (std::size_t n = 0;; ++n) {
      if (n >= kMaxParts) return wrong("at most 50 filters of labels");
      MAINSTAY_TRY(LabelFilter filter, label_filter());
      out.any_of.back().push_back(std::move(filter));
      if (take(",")) continue;
      blanks();
      const std::size_t before = at_;
      const std::string_view word = name();
      if (word == "or") {
        out.any_of.emplace_back();
      } else if (word != "and") {
        at_ = before;
        return {};
      }
    }
  }

  base::Result<LabelFilter> label_filter() {
    using Compare = LabelFilter::Compare;
    LabelFilter out;
    out.text.name = name();
    if (out.text.name.empty()) return wrong("a label's name");
    static constexpr std::tuple<std::string_view, MatchOp, Compare> kOperators[] = {
        {"=~", MatchOp::kRegex, Compare::kText},         {"!~", MatchOp::kNotRegex, Compare::kText},
        {"==", MatchOp::kEqual, Compare::kEqual},        {"!=", MatchOp::kNotEqual, Compare::kNotEqual},
        {">=", MatchOp::kEqual, Compare::kGreaterEqual}, {"<=", MatchOp::kEqual, Compare::kLessEqual},
        {">", MatchOp::kEqual, Compare::kGreater},       {"<", MatchOp::kEqual, Compare::kLess},
        {"=", MatchOp::kEqual, Compare::kEqual}};
    const auto* found = std::find_if(std::begin(kOperators), std::end(kOperators),
                                     [this](const auto& o) { return take(std::get<0>(o)); });
    if (found == std::end(kOperators)) return wrong("one of = != =~ !~ == > >= < <=");
    const auto& [sign, op, compare] = *found;
    const char next = peek();
    if (next == '"' || next == '`') {
      if (sign != "=" && sign != "!=" && sign != "=~" && sign != "!~") return wrong("a number");
      out.text.op = op;
      MAINSTAY_TRY(out.text.value, string());
      if (op == MatchOp::kRegex || op == MatchOp::kNotRegex) {
        MAINSTAY_TRY(out.text.regex, regex(out.text.value, true));
      }
      return out;
    }
    if (compare == Compare::kText) return wrong("a quoted string");
    out.compare = compare;
    MAINSTAY_TRY(out.number, number());
    if (at_ < text_.size() && is_name(text_[at_])) return wrong("a number without a unit");
    return out;
  }

  base::Result<double> number() {
    blanks();
    const std::size_t begin = at_;
    if (at_ < text_.size() && text_[at_] == '-') ++at_;
    while (at_ < text_.size() && at_ - begin < 40 &&
           (std::isdigit(static_cast<unsigned char>(text_[at_])) || text_[at_] == '.'))
      ++at_;
    double value = 0;
    const auto [end, error] = std::from_chars(text_.data() + begin, text_.data() + at_, value);
    if (error == std::errc() && end == text_.data() + at_) return value;
    at_ = begin;
    return wrong("a number");
  }

  // Numbers and vector(number), with + - * / and parentheses: by such a one Grafana asks whether the source is well.
  base::Result<double> sum(int depth) {
    MAINSTAY_TRY(double left, product(depth));
    for (;;) {
      const bool plus = take("+");
      if (!plus && !take("-")) return left;
      MAINSTAY_TRY(const double right, product(depth));
      left = plus ? left + right : left - right;
    }
  }
  base::Result<double> product(int depth) {
    MAINSTAY_TRY(double left, constant(depth));
    for (;;) {
      const bool times = take("*");
      if (!times && !take("/")) return left;
      MAINSTAY_TRY(const double right, constant(depth));
      left = times ? left * right : left / right;
    }
  }
  base::Result<double> constant(int depth) {
    if (depth > kMaxDepth) return wrong("fewer parentheses");
    const bool vector = take("vector");
    if (take("(")) {
      MAINSTAY_TRY(const double value, vector ? number() : sum(depth + 1));
      if (!take(")")) return wrong(")");
      return value;
    }
    if (vector) return wrong("(");
    return number();
  }

  std::unexpected<base::Error> unsupported(std::string_view what, std::string_view word,
                                           std::string_view instead) const {
    return base::fail(base::ErrorCode::kInvalid,
                      fmt::format("query: at character {}: the {} \"{}\" is not supported; {}", at_ + 1, what,
                                  word.substr(0, 40), instead));
  }

  base::Result<> range(LogExpression& out) {
    if (!take("[")) return wrong("a range such as [5m]");
    const auto end = text_.find(']', at_);
    if (end == std::string_view::npos) return wrong("]");
    std::string text(text_.substr(at_, end - at_));
    // Go's durations end at hours; days are ours to add, as Prometheus has them.
    std::chrono::nanoseconds whole{0};
    if (const auto d = text.find('d'); d != std::string::npos && d > 0 && d < 6) {
      whole = std::chrono::hours(24) * std::atoi(text.c_str());
      text.erase(0, d + 1);
    }
    const auto rest =
        text.empty() ? base::Result<std::chrono::nanoseconds>(std::chrono::nanoseconds{0}) : base::parse_duration(text);
    if (!rest || *rest < std::chrono::nanoseconds{0} || whole + *rest < std::chrono::milliseconds(1) ||
        whole + *rest > std::chrono::hours(24 * 31))
      return wrong("a duration from 1ms to 31d");
    out.range = whole + *rest;
    at_ = end + 1;
    return {};
  }

  base::Result<> grouping(LogExpression& out) {
    blanks();
    const std::size_t before = at_;
    const std::string_view word = name();
    if (word != "by" && word != "without") {
      at_ = before;
      return {};
    }
    out.without = word == "without";
    if (!take("(")) return wrong("(");
    while (!take(")")) {
      const std::string_view label = name();
      if (label.empty() || out.grouping.size() >= kMaxParts) return wrong("a label's name");
      out.grouping.emplace_back(label);
      if (take(")")) break;
      if (!take(",")) return wrong("\",\" or \")\"");
    }
    grouped_ = true;
    return {};
  }

  base::Result<> expression(LogExpression& out, int depth) {
    if (depth > kMaxDepth) return wrong("fewer parentheses");
    if (peek() == '{') return selector(out.selector);
    if (take("(")) {
      MAINSTAY_TRY_VOID(expression(out, depth + 1));
      if (!take(")")) return wrong(")");
      return {};
    }
    static constexpr std::pair<std::string_view, RangeFunction> kFunctions[] = {
        {"count_over_time", RangeFunction::kCountOverTime},
        {"rate", RangeFunction::kRate},
        {"bytes_over_time", RangeFunction::kBytesOverTime},
        {"bytes_rate", RangeFunction::kBytesRate}};
    static constexpr std::pair<std::string_view, Aggregation> kAggregations[] = {{"sum", Aggregation::kSum},
                                                                                 {"min", Aggregation::kMin},
                                                                                 {"max", Aggregation::kMax},
                                                                                 {"avg", Aggregation::kAvg},
                                                                                 {"count", Aggregation::kCount}};
    const std::size_t before = at_;
    const std::string_view word = name();
    for (const auto& [text, function] : kFunctions) {
      if (word == text) return counted(out, function, depth);
    }
    for (const auto& [text, aggregation] : kAggregations) {
      if (word == text) return aggregated(out, aggregation, depth);
    }
    at_ = before;
    if (!word.empty())
      return unsupported("function", word,
                         "there are count_over_time, rate, bytes_over_time, bytes_rate, sum, min, max, avg, count and "
                         "vector");
    return wrong("a selector { or a function");
  }

  base::Result<> counted(LogExpression& out, RangeFunction function, int depth) {
    if (!take("(")) return wrong("(");
    out.metric = true;
    out.function = function;
    const bool nested = take("(");
    MAINSTAY_TRY_VOID(selector(out.selector));
    if (nested && !take(")")) return wrong(")");
    MAINSTAY_TRY_VOID(range(out));
    // A filter may also stand after the range.
    MAINSTAY_TRY_VOID(filters(out.selector));
    if (!take(")")) return wrong(")");
    return {};
  }

  base::Result<> aggregated(LogExpression& out, Aggregation aggregation, int depth) {
    if (out.aggregation != Aggregation::kNone) return wrong("a range function: one aggregation is supported");
    out.aggregation = aggregation;
    MAINSTAY_TRY_VOID(grouping(out));
    if (!take("(")) return wrong("(");
    MAINSTAY_TRY_VOID(expression(out, depth + 1));
    if (!out.metric) return wrong("a range function within the aggregation");
    if (!take(")")) return wrong(")");
    if (!grouped_) return grouping(out);
    return {};
  }

  std::string_view text_;
  std::size_t at_ = 0;
  bool grouped_ = false;
};

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

bool LabelFilter::matches(std::string_view value) const {
  if (compare == Compare::kText) return text.matches(value);
  double found = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), found);
  if (error != std::errc() || end != value.data() + value.size()) return compare == Compare::kNotEqual;
  switch (compare) {
    case Compare::kEqual:
      return found == number;
    case Compare::kNotEqual:
      return found != number;
    case Compare::kGreater:
      return found > number;
    case Compare::kGreaterEqual:
      return found >= number;
    case Compare::kLess:
      return found < number;
    default:
      return found <= number;
  }
}

bool LogSelector::parses() const {
  return std::any_of(stages.begin(), stages.end(), [](const PipelineStage& s) {
    return s.kind == PipelineStage::Kind::kJson || s.kind == PipelineStage::Kind::kLogfmt;
  });
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

const LabelMatcher* LogSelector::equal_to(std::string_view name) const {
  for (const LabelMatcher& m : matchers) {
    if (m.name == name && m.op == MatchOp::kEqual) return &m;
  }
  return nullptr;
}

base::Result<LogExpression> parse_logql(std::string_view text) {
  if (text.size() > kMaxLength)
    return base::fail(base::ErrorCode::kInvalid, fmt::format("query: longer than {} characters", kMaxLength));
  return Parser(text).run();
}

}  // namespace mainstay::observe
