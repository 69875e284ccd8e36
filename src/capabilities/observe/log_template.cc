#include "capabilities/observe/log_template.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/clock.h"
#include "base/strings.h"

namespace mainstay::observe {
namespace {

constexpr std::size_t kMaxParts = 100, kMaxCalls = 10, kMaxMade = 64 * 1024;

// Functions by name, with the number of arguments before the value itself.
constexpr std::pair<std::string_view, std::size_t> kFunctions[] = {
    {"lower", 0}, {"ToLower", 0}, {"upper", 0},  {"ToUpper", 0}, {"trim", 0},       {"TrimSpace", 0},
    {"trunc", 1}, {"default", 1}, {"substr", 2}, {"replace", 2}, {"trimPrefix", 1}, {"trimSuffix", 1}};

std::string mapped(std::string text, int (*change)(int)) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x80) c = static_cast<char>(change(static_cast<unsigned char>(c)));
  }
  return text;
}

long long integer(const std::string& text, long long fallback) {
  long long value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() ? value : fallback;
}

// The first so many bytes; of a negative number the last.
std::string truncated(const std::string& count, const std::string& text) {
  const long long size = static_cast<long long>(text.size()), n = integer(count, size);
  if (n >= size || n <= -size) return text;
  return n < 0 ? text.substr(static_cast<std::size_t>(size + n)) : text.substr(0, static_cast<std::size_t>(n));
}

// From one position to another; a negative one is the beginning, or the end.
std::string part_of(const std::string& from, const std::string& to, const std::string& text) {
  const long long size = static_cast<long long>(text.size()), begin = std::clamp(integer(from, 0), 0LL, size),
                  asked = integer(to, -1), end = asked < 0 ? size : std::min(asked, size);
  return text.substr(static_cast<std::size_t>(begin), static_cast<std::size_t>(std::max(end - begin, 0LL)));
}

std::string replaced(const std::string& text, const std::string& from, const std::string& to) {
  if (from.empty()) return text;
  std::string out;
  std::size_t at = 0;
  for (std::size_t found; (found = text.find(from, at)) != std::string::npos && out.size() < kMaxMade;
       at = found + from.size()) {
    out.append(text, at, found - at);
    out += to;
  }
  return out.append(text, at, std::string::npos);
}

std::string call(const std::string& function, const std::vector<std::string>& with, std::string value) {
  if (function == "lower" || function == "ToLower") return mapped(std::move(value), std::tolower);
  if (function == "upper" || function == "ToUpper") return mapped(std::move(value), std::toupper);
  if (function == "trim" || function == "TrimSpace") return std::string(base::trim(value));
  if (function == "trunc") return truncated(with[0], value);
  if (function == "default") return value.empty() ? with[0] : value;
  if (function == "replace") return replaced(value, with[0], with[1]);
  if (function == "trimPrefix") return value.starts_with(with[0]) ? value.substr(with[0].size()) : value;
  if (function == "trimSuffix")
    return value.ends_with(with[0]) ? value.substr(0, value.size() - with[0].size()) : value;
  return part_of(with[0], with[1], value);
}

}  // namespace

class TemplateParser {
 public:
  explicit TemplateParser(std::string_view text) : text_(text) {}

  base::Result<> run(std::vector<LineTemplate::Part>& out) {
    while (at_ < text_.size()) {
      if (out.size() >= kMaxParts) return wrong("at most 100 texts and actions");
      const auto open = text_.find("{{", at_);
      if (open != at_) {
        std::string_view plain = text_.substr(at_, open - at_);
        at_ = std::min(open, text_.size());
        if (trimmed_) plain.remove_prefix(std::min(plain.find_first_not_of(kBlanks), plain.size()));
        if (text_.substr(at_).starts_with("{{- ")) plain = plain.substr(0, plain.find_last_not_of(kBlanks) + 1);
        if (!plain.empty()) out.push_back({{LineTemplate::Kind::kText, std::string(plain)}, {}});
        trimmed_ = false;
        continue;
      }
      at_ += text_.substr(at_).starts_with("{{- ") ? 3 : 2;
      LineTemplate::Part part;
      MAINSTAY_TRY_VOID(action(part));
      out.push_back(std::move(part));
    }
    return {};
  }

 private:
  std::unexpected<base::Error> wrong(std::string_view expected) const {
    return base::fail(base::ErrorCode::kInvalid,
                      fmt::format("template: at character {}: expected {}", at_ + 1, expected));
  }
  void blanks() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\n')) ++at_;
  }
  bool at_end_of_call() {
    blanks();
    const std::string_view rest = text_.substr(at_);
    return rest.starts_with("}}") || rest.starts_with("-}}") || rest.starts_with("|");
  }
  std::string word() {
    const std::size_t begin = at_;
    while (at_ < text_.size() && (std::isalnum(static_cast<unsigned char>(text_[at_])) || text_[at_] == '_')) ++at_;
    return std::string(text_.substr(begin, at_ - begin));
  }

  base::Result<LineTemplate::Value> value() {
    blanks();
    const char c = at_ < text_.size() ? text_[at_] : '\0';
    if (c == '.') {
      ++at_;
      std::string name = word();
      if (name.empty()) return wrong("a field such as .status");
      return LineTemplate::Value{LineTemplate::Kind::kField, std::move(name)};
    }
    if (c == '"' || c == '`') {
      const std::size_t begin = ++at_;
      std::string out;
      while (at_ < text_.size() && text_[at_] != c) {
        if (c == '"' && text_[at_] == '\\' && at_ + 1 < text_.size()) ++at_;
        out += text_[at_++];
      }
      if (at_ >= text_.size()) {
        at_ = begin;
        return wrong("the end of the string");
      }
      ++at_;
      return LineTemplate::Value{LineTemplate::Kind::kText, std::move(out)};
    }
    if (c == '-' || std::isdigit(static_cast<unsigned char>(c))) {
      ++at_;
      return LineTemplate::Value{LineTemplate::Kind::kText, c + word()};
    }
    const std::size_t before = at_;
    const std::string name = word();
    if (name == "__line__") return LineTemplate::Value{LineTemplate::Kind::kLine, ""};
    if (name == "__timestamp__") return LineTemplate::Value{LineTemplate::Kind::kTimestamp, ""};
    at_ = before;
    return wrong("a field such as .status, a text, __line__ or __timestamp__");
  }

  // A function and its arguments; where it stands first the last of them is the value.
  base::Result<> function(LineTemplate::Part& out, bool first) {
    blanks();
    const std::size_t before = at_;
    const std::string name = word();
    const auto* known =
        std::find_if(std::begin(kFunctions), std::end(kFunctions), [&](const auto& f) { return f.first == name; });
    if (known == std::end(kFunctions)) {
      at_ = before;
      return wrong(name == "if" || name == "range" || name == "with"
                       ? "no if, range or with: they are not supported"
                       : "one of the functions lower, upper, trim, trunc, substr, replace, trimPrefix, trimSuffix, "
                         "default");
    }
    LineTemplate::Call made{name, {}};
    for (std::size_t i = 0; i < known->second; ++i) {
      MAINSTAY_TRY(LineTemplate::Value argument, value());
      made.arguments.push_back(std::move(argument));
    }
    if (first) {
      MAINSTAY_TRY(out.value, value());
    }
    out.calls.push_back(std::move(made));
    return {};
  }

  base::Result<> action(LineTemplate::Part& out) {
    blanks();
    const char c = at_ < text_.size() ? text_[at_] : '\0';
    const bool is_function = std::isalpha(static_cast<unsigned char>(c));
    if (is_function) {
      MAINSTAY_TRY_VOID(function(out, true));
    } else {
      MAINSTAY_TRY(out.value, value());
    }
    for (;;) {
      if (!at_end_of_call()) return wrong("| or }}");
      if (text_[at_] != '|') {
        trimmed_ = text_[at_] == '-';
        at_ += trimmed_ ? 3 : 2;
        return {};
      }
      ++at_;
      if (out.calls.size() >= kMaxCalls) return wrong("at most 10 functions");
      MAINSTAY_TRY_VOID(function(out, false));
    }
  }

  static constexpr std::string_view kBlanks = " \t\r\n";
  std::string_view text_;
  std::size_t at_ = 0;
  bool trimmed_ = false;  // the last action ended with -}}
};

base::Result<std::shared_ptr<const LineTemplate>> LineTemplate::parse(std::string_view text) {
  auto out = std::make_shared<LineTemplate>();
  MAINSTAY_TRY_VOID(TemplateParser(text).run(out->parts_));
  return std::shared_ptr<const LineTemplate>(std::move(out));
}

std::string LineTemplate::fill(std::string_view line, std::int64_t time_us, const Lookup& label) const {
  const auto text_of = [&](const Value& value) -> std::string {
    switch (value.kind) {
      case Kind::kField:
        return std::string(label(value.text));
      case Kind::kLine:
        return std::string(line);
      case Kind::kTimestamp:
        return base::rfc3339_micro(base::SystemTime(std::chrono::microseconds(time_us)));
      default:
        return value.text;
    }
  };
  std::string out;
  for (const Part& part : parts_) {
    std::string made = text_of(part.value);
    for (const Call& c : part.calls) {
      std::vector<std::string> arguments;
      for (const Value& v : c.arguments) arguments.push_back(text_of(v));
      made = call(c.function, arguments, std::move(made));
      if (made.size() > kMaxMade) made.resize(kMaxMade);
    }
    out += made;
    if (out.size() > kMaxMade) {
      out.resize(kMaxMade);
      break;
    }
  }
  return out;
}

}  // namespace mainstay::observe
