#include "capabilities/observe/logql.h"

#include <fmt/format.h>
#include <re2/re2.h>

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
      LineFilter filter;
      if (take("|=")) {
        filter.op = MatchOp::kEqual;
      } else if (take("|~")) {
        filter.op = MatchOp::kRegex;
      } else if (take("!=")) {
        filter.op = MatchOp::kNotEqual;
      } else if (take("!~")) {
        filter.op = MatchOp::kNotRegex;
      } else if (peek() == '|') {
        return wrong("a line filter (|= != |~ !~); parsers and label filters are not supported");
      } else {
        return {};
      }
      if (out.filters.size() >= kMaxParts) return wrong("at most 50 line filters");
      MAINSTAY_TRY(filter.text, string());
      if (filter.op == MatchOp::kRegex || filter.op == MatchOp::kNotRegex) {
        MAINSTAY_TRY(filter.regex, regex(filter.text, false));
      }
      out.filters.push_back(std::move(filter));
    }
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
    return wrong(
        "a selector { or one of count_over_time, rate, bytes_over_time, bytes_rate, sum, min, max, avg, count");
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
