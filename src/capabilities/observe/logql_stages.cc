// The half of LogQL's parser that reads selectors and the stages after them.
#include <fmt/format.h>
#include <re2/re2.h>

#include <algorithm>

#include "capabilities/observe/log_template.h"
#include "capabilities/observe/logql_cursor.h"

namespace mainstay::observe {
namespace {

using Stage = PipelineStage;

base::Result<MatchOp> match_op(Cursor& in) {
  if (in.take("=~")) return MatchOp::kRegex;
  if (in.take("!~")) return MatchOp::kNotRegex;
  if (in.take("!=")) return MatchOp::kNotEqual;
  if (in.take("==") || in.take("=")) return MatchOp::kEqual;
  return in.wrong("one of = != =~ !~");
}

base::Result<> text_and_regex(Cursor& in, LabelMatcher& out) {
  MAINSTAY_TRY(out.value, in.string());
  if (out.op == MatchOp::kRegex || out.op == MatchOp::kNotRegex) {
    MAINSTAY_TRY(out.regex, in.regex(out.value, true));
  }
  return {};
}

// name op "text", or name op quantity
base::Result<LabelFilter> label_filter(Cursor& in) {
  using Compare = LabelFilter::Compare;
  LabelFilter out;
  out.text.name = in.name();
  if (out.text.name.empty()) return in.wrong("a label's name");
  static constexpr std::pair<std::string_view, Compare> kNumeric[] = {
      {">=", Compare::kGreaterEqual}, {"<=", Compare::kLessEqual}, {">", Compare::kGreater}, {"<", Compare::kLess}};
  for (const auto& [sign, compare] : kNumeric) {
    if (in.take(sign)) {
      out.compare = compare;
      break;
    }
  }
  if (out.compare == Compare::kText) {
    MAINSTAY_TRY(out.text.op, match_op(in));
    if (in.at_string()) {
      MAINSTAY_TRY_VOID(text_and_regex(in, out.text));
      return out;
    }
    if (in.peek_name() == "ip") return in.unsupported("filter", "ip", "compare the text, or match it by =~");
    if (out.text.op == MatchOp::kRegex || out.text.op == MatchOp::kNotRegex) return in.wrong("a quoted string");
    out.compare = out.text.op == MatchOp::kEqual ? Compare::kEqual : Compare::kNotEqual;
  }
  MAINSTAY_TRY(std::tie(out.number, out.unit), in.quantity());
  return out;
}

base::Result<LabelCondition> any_of(Cursor& in, int depth, std::size_t& count);

base::Result<LabelCondition> one_of(Cursor& in, int depth, std::size_t& count) {
  if (++count > kMaxQueryParts) return in.wrong("at most 50 filters of labels");
  if (depth > kMaxQueryDepth) return in.wrong("fewer parentheses");
  if (in.take("(")) {
    MAINSTAY_TRY(LabelCondition inner, any_of(in, depth + 1, count));
    if (!in.take(")")) return in.wrong(")");
    return inner;
  }
  LabelCondition out;
  MAINSTAY_TRY(out.filter, label_filter(in));
  return out;
}

// What stands after a filter and is no operator begins another.
bool begins_filter(Cursor& in) {
  const std::string_view word = in.peek_name();
  return word.empty() ? in.peek() == '(' : word != "or";
}

// "and", a comma, or nothing but a blank bind closer than "or".
base::Result<LabelCondition> all_of(Cursor& in, int depth, std::size_t& count) {
  LabelCondition out{LabelCondition::Kind::kAnd, {}, {}};
  do {
    MAINSTAY_TRY(LabelCondition part, one_of(in, depth, count));
    out.parts.push_back(std::move(part));
  } while (in.take(",") || in.take_word("and") || begins_filter(in));
  return out;
}

base::Result<LabelCondition> any_of(Cursor& in, int depth, std::size_t& count) {
  LabelCondition out{LabelCondition::Kind::kOr, {}, {}};
  do {
    MAINSTAY_TRY(LabelCondition part, all_of(in, depth, count));
    out.parts.push_back(std::move(part));
  } while (in.take_word("or"));
  return out;
}

// a.b[0].c["d e"]
std::optional<std::vector<std::string>> json_path(std::string_view text) {
  std::vector<std::string> out;
  std::size_t at = 0;
  while (at < text.size()) {
    if (text[at] == '[') {
      const bool quoted = at + 1 < text.size() && text[at + 1] == '"';
      const auto end = text.find(quoted ? "\"]" : "]", at + (quoted ? 2 : 1));
      if (end == std::string_view::npos) return std::nullopt;
      const std::size_t begin = at + (quoted ? 2 : 1);
      out.emplace_back(text.substr(begin, end - begin));
      at = end + (quoted ? 2 : 1);
      if (at < text.size() && text[at] == '.') ++at;
    } else {
      const auto end = std::min(text.find_first_of(".[", at), text.size());
      out.emplace_back(text.substr(at, end - at));
      at = end + (end < text.size() && text[end] == '.' ? 1 : 0);
    }
    if (out.back().empty() || out.size() > 16) return std::nullopt;
  }
  return out.empty() ? std::nullopt : std::optional(std::move(out));
}

// json and logfmt: all there is, or what is named: a="b.c", d
base::Result<> extracts(Cursor& in, Stage& out) {
  if (in.peek() == '-') return in.wrong("json and logfmt without flags");
  if (in.peek_name().empty()) return {};
  do {
    if (out.extracts.size() >= kMaxQueryParts) return in.wrong("at most 50 labels");
    Extract extract;
    extract.name = in.name();
    if (extract.name.empty()) return in.wrong("a label's name");
    std::string text = extract.name;
    if (in.take("=")) {
      MAINSTAY_TRY(text, in.string());
    }
    auto path = out.kind == Stage::Kind::kJson ? json_path(text) : std::vector<std::string>{text};
    if (!path) return in.wrong("a path such as \"a.b[0]\"");
    extract.path = *std::move(path);
    out.extracts.push_back(std::move(extract));
  } while (in.take(","));
  return {};
}

base::Result<> pattern(Cursor& in, Stage& out) {
  MAINSTAY_TRY(const std::string text, in.string());
  std::size_t at = 0, named = 0;
  while (at < text.size()) {
    const auto open = text.find('<', at), close = open == text.npos ? open : text.find('>', open);
    const std::string inside = close == text.npos ? "" : text.substr(open + 1, close - open - 1);
    const bool is_capture = !inside.empty() && Cursor(inside).name() == inside;
    // A "<" that begins no capture is a text.
    const std::size_t end = is_capture ? open : open == text.npos ? text.size() : open + 1;
    if (end > at) {
      if (!out.pattern.parts.empty() && !out.pattern.parts.back().capture) {
        out.pattern.parts.back().text += text.substr(at, end - at);
      } else {
        out.pattern.parts.push_back({false, text.substr(at, end - at)});
      }
    }
    at = end;
    if (!is_capture) continue;
    if (!out.pattern.parts.empty() && out.pattern.parts.back().capture)
      return in.wrong("a text between two captures of a pattern");
    named += inside != "_";
    out.pattern.parts.push_back({true, inside == "_" ? "" : inside});
    at = close + 1;
  }
  if (named == 0 || out.pattern.parts.size() > 2 * kMaxQueryParts)
    return in.wrong("a pattern with a capture, such as \"<method> <path> <_>\"");
  return {};
}

base::Result<> regexp(Cursor& in, Stage& out) {
  MAINSTAY_TRY(const std::string text, in.string());
  MAINSTAY_TRY(out.regex, in.regex(text, false));
  if (out.regex->NamedCapturingGroups().empty() ||
      out.regex->NumberOfCapturingGroups() > static_cast<int>(kMaxQueryParts))
    return in.wrong("a regular expression with 1 to 50 groups, one of them named as (?P<name>…)");
  return {};
}

base::Result<std::shared_ptr<const LineTemplate>> line_template(Cursor& in) {
  MAINSTAY_TRY(const std::string text, in.string());
  auto made = LineTemplate::parse(text);
  if (!made) return base::fail(base::ErrorCode::kInvalid, "query: " + made.error().message);
  return *std::move(made);
}

base::Result<> label_format(Cursor& in, Stage& out) {
  do {
    if (out.renames.size() >= kMaxQueryParts) return in.wrong("at most 50 labels");
    Stage::Renamed made;
    made.name = in.name();
    if (made.name.empty()) return in.wrong("a label's name");
    if (!in.take("=")) return in.wrong("=");
    if (in.at_string()) {
      MAINSTAY_TRY(made.format, line_template(in));
    } else {
      made.from = in.name();
      if (made.from.empty()) return in.wrong("a label's name or a template");
    }
    out.renames.push_back(std::move(made));
  } while (in.take(","));
  return {};
}

// drop a, b="x", c=~"y"
base::Result<> named_labels(Cursor& in, Stage& out) {
  do {
    if (out.labels.size() >= kMaxQueryParts) return in.wrong("at most 50 labels");
    LabelMatcher label;
    label.name = in.name();
    if (label.name.empty()) return in.wrong("a label's name");
    const char next = in.peek();
    const bool matched = next == '=' || next == '!';
    if (matched) {
      MAINSTAY_TRY(label.op, match_op(in));
      MAINSTAY_TRY_VOID(text_and_regex(in, label));
    }
    out.labels.push_back(std::move(label));
    out.matched.push_back(matched);
  } while (in.take(","));
  return {};
}

base::Result<> unwrap(Cursor& in, std::optional<Unwrap>* out) {
  if (!out || *out) return in.wrong("unwrap once, within a range function");
  Unwrap made;
  const std::string_view word = in.name();
  if (word.empty()) return in.wrong("a label's name");
  made.label = word;
  if (in.take("(")) {
    if (word == "duration" || word == "duration_seconds") {
      made.unit = LabelFilter::Unit::kDuration;
    } else if (word == "bytes") {
      made.unit = LabelFilter::Unit::kBytes;
    } else {
      return in.unsupported("conversion", word, "there are duration, duration_seconds and bytes");
    }
    made.label = in.name();
    if (made.label.empty()) return in.wrong("a label's name");
    if (!in.take(")")) return in.wrong(")");
  }
  *out = std::move(made);
  return {};
}

// What stands after a "|". False: it was unwrap, which is no stage.
base::Result<bool> operation(Cursor& in, Stage& out, std::optional<Unwrap>* unwrapped) {
  using Kind = Stage::Kind;
  static constexpr std::pair<std::string_view, Kind> kWords[] = {{"json", Kind::kJson},
                                                                 {"logfmt", Kind::kLogfmt},
                                                                 {"pattern", Kind::kPattern},
                                                                 {"regexp", Kind::kRegexp},
                                                                 {"drop", Kind::kDrop},
                                                                 {"keep", Kind::kKeep},
                                                                 {"line_format", Kind::kLineFormat},
                                                                 {"label_format", Kind::kLabelFormat},
                                                                 {"decolorize", Kind::kDecolorize}};
  const std::size_t before = (in.blanks(), in.position());
  const std::string_view word = in.name();
  const char next = in.peek();
  // `| json != "x"`: what needs nothing after it, and then a filter of lines.
  const bool alone = word == "json" || word == "logfmt" || word == "decolorize";
  if (next == '=' || (next == '!' && !alone) || next == '<' || next == '>' || (word.empty() && next == '(')) {
    in.back_to(before);
    std::size_t count = 0;
    out.kind = Kind::kLabels;
    MAINSTAY_TRY(out.condition, any_of(in, 0, count));
    return true;
  }
  if (word == "unwrap") {
    MAINSTAY_TRY_VOID(unwrap(in, unwrapped));
    return false;
  }
  const auto* known =
      std::find_if(std::begin(kWords), std::end(kWords), [word](const auto& w) { return w.first == word; });
  if (known == std::end(kWords)) {
    in.back_to(before);
    if (word.empty()) return in.wrong("an operator such as json, or a filter of a label");
    return in.unsupported("operator", word,
                          "there are json, logfmt, pattern, regexp, line_format, label_format, drop, keep, decolorize, "
                          "unwrap and filters of labels");
  }
  out.kind = known->second;
  base::Result<> read;
  switch (out.kind) {
    case Kind::kJson:
    case Kind::kLogfmt:
      read = extracts(in, out);
      break;
    case Kind::kPattern:
      read = pattern(in, out);
      break;
    case Kind::kRegexp:
      read = regexp(in, out);
      break;
    case Kind::kLabelFormat:
      read = label_format(in, out);
      break;
    case Kind::kDrop:
    case Kind::kKeep:
      read = named_labels(in, out);
      break;
    case Kind::kLineFormat: {
      MAINSTAY_TRY(out.format, line_template(in));
      break;
    }
    default:
      break;
  }
  if (!read) return std::unexpected(read.error());
  return true;
}

}  // namespace

base::Result<> parse_stages(Cursor& in, LogSelector& out, std::optional<Unwrap>* unwrapped) {
  for (;;) {
    Stage stage;
    LineFilter& filter = stage.line;
    bool line = true;
    if (in.take("|=")) {
      filter.op = MatchOp::kEqual;
    } else if (in.take("|~")) {
      filter.op = MatchOp::kRegex;
    } else if (in.take("!=")) {
      filter.op = MatchOp::kNotEqual;
    } else if (in.take("!~")) {
      filter.op = MatchOp::kNotRegex;
    } else if (in.take("|")) {
      line = false;
    } else {
      return {};
    }
    if (out.stages.size() >= kMaxQueryParts) return in.wrong("at most 50 stages");
    if (!line) {
      MAINSTAY_TRY(const bool is_stage, operation(in, stage, unwrapped));
      if (!is_stage) continue;
    } else {
      MAINSTAY_TRY(filter.text, in.string());
      if (filter.op == MatchOp::kRegex || filter.op == MatchOp::kNotRegex) {
        MAINSTAY_TRY(filter.regex, in.regex(filter.text, false));
      }
    }
    out.stages.push_back(std::move(stage));
  }
}

base::Result<> parse_selector(Cursor& in, LogSelector& out, std::optional<Unwrap>* unwrapped) {
  if (!in.take("{")) return in.wrong("{");
  while (!in.take("}")) {
    if (out.matchers.size() >= kMaxQueryParts) return in.wrong("at most 50 matchers");
    LabelMatcher matcher;
    matcher.name = in.name();
    if (matcher.name.empty()) return in.wrong("a label's name");
    MAINSTAY_TRY(matcher.op, match_op(in));
    MAINSTAY_TRY_VOID(text_and_regex(in, matcher));
    out.matchers.push_back(std::move(matcher));
    if (in.take("}")) break;
    if (!in.take(",")) return in.wrong("\",\" or \"}\"");
  }
  return parse_stages(in, out, unwrapped);
}

}  // namespace mainstay::observe
