#include "capabilities/observe/logql_cursor.h"

#include <fmt/format.h>
#include <re2/re2.h>

#include <charconv>

#include "base/clock.h"

namespace mainstay::observe {
namespace {

bool is_name_start(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_name(char c) { return is_name_start(c) || is_digit(c); }

// Bytes are powers of 1000 (kB, MB) or 1024 (KiB, MiB), as Loki reads them.
std::optional<double> bytes_of(std::string_view unit) {
  static constexpr std::pair<std::string_view, double> kUnits[] = {{"b", 1},     {"kib", 1024.},
                                                                   {"kb", 1e3},  {"mib", 1024. * 1024},
                                                                   {"mb", 1e6},  {"gib", 1 << 30},
                                                                   {"gb", 1e9},  {"tib", 1024. * (1 << 30)},
                                                                   {"tb", 1e12}, {"pib", 1048576. * (1 << 30)},
                                                                   {"pb", 1e15}};
  std::string lower(unit);
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  for (const auto& [name, factor] : kUnits) {
    if (lower == name) return factor;
  }
  return std::nullopt;
}

std::optional<double> plain_number(std::string_view text) {
  double value = 0;
  if (text.empty() || text.size() > 60) return std::nullopt;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// Go's durations, and days and weeks before them, as Prometheus has them.
std::optional<std::chrono::nanoseconds> parse_long_duration(std::string_view text) {
  constexpr std::chrono::nanoseconds kLongest = std::chrono::hours(24 * 366 * 100);
  std::chrono::nanoseconds whole{0};
  bool any = false;
  for (const auto& [unit, length] : {std::pair('w', std::chrono::hours(24 * 7)), {'d', std::chrono::hours(24)}}) {
    const auto at = text.find(unit);
    if (at == std::string_view::npos || at == 0 || at > 5) continue;
    int count = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + at, count);
    if (error != std::errc() || end != text.data() + at || count < 0) return std::nullopt;
    if (count > (kLongest - whole) / length) return std::nullopt;
    whole += length * count;
    text.remove_prefix(at + 1);
    any = true;
  }
  if (any && text.empty()) return whole;
  const auto rest = base::parse_duration(text);
  if (!rest || *rest > kLongest - whole) return std::nullopt;
  return whole + *rest;
}

}  // namespace

std::optional<double> number_of(std::string_view value, LabelFilter::Unit unit) {
  if (value.size() > 60) return std::nullopt;
  if (const auto plain = plain_number(value)) return plain;
  if (unit == LabelFilter::Unit::kDuration) {
    const auto duration = parse_long_duration(value);
    return duration ? std::optional(std::chrono::duration<double>(*duration).count()) : std::nullopt;
  }
  if (unit != LabelFilter::Unit::kBytes) return std::nullopt;
  const auto end = value.find_first_not_of("0123456789.");
  if (end == std::string_view::npos) return std::nullopt;
  std::string_view name = value.substr(end);
  if (name.starts_with(' ')) name.remove_prefix(1);
  const auto number = plain_number(value.substr(0, end));
  const auto factor = bytes_of(name);
  return number && factor ? std::optional(*number * *factor) : std::nullopt;
}

std::unexpected<base::Error> Cursor::wrong(std::string_view expected) const {
  return base::fail(base::ErrorCode::kInvalid,
                    fmt::format("query: at character {}: expected {}{}", at_ + 1, expected,
                                at_ < text_.size() ? fmt::format(", found \"{}\"", text_.substr(at_, 12)) : ""));
}

std::unexpected<base::Error> Cursor::unsupported(std::string_view what, std::string_view word,
                                                 std::string_view there_are) {
  return base::fail(base::ErrorCode::kInvalid, fmt::format("query: at character {}: the {} \"{}\" is not supported; {}",
                                                           at_ + 1, what, word.substr(0, 40), there_are));
}

void Cursor::blanks() {
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

bool Cursor::take(std::string_view token) {
  blanks();
  if (!rest().starts_with(token)) return false;
  at_ += token.size();
  return true;
}

bool Cursor::take_word(std::string_view word) {
  if (peek_name() != word) return false;
  at_ += word.size();
  return true;
}

char Cursor::peek() {
  blanks();
  return at_ < text_.size() ? text_[at_] : '\0';
}

std::string_view Cursor::peek_name() {
  blanks();
  std::size_t end = at_;
  if (end < text_.size() && is_name_start(text_[end])) {
    while (end < text_.size() && is_name(text_[end])) ++end;
  }
  return text_.substr(at_, end - at_);
}

std::string_view Cursor::name() {
  const std::string_view found = peek_name();
  at_ += found.size();
  return found;
}

base::Result<std::string> Cursor::string() {
  if (!at_string()) return wrong("a quoted string");
  const char quote = text_[at_++];
  std::string out;
  while (at_ < text_.size() && text_[at_] != quote) {
    const char c = text_[at_++];
    if (c == '\\' && quote == '"') {
      MAINSTAY_TRY_VOID(escape(out));
    } else {
      out += c;
    }
  }
  if (at_ >= text_.size()) return wrong("the end of the string");
  ++at_;
  return out;
}

// Of Go's escapes those that stand for one byte.
base::Result<> Cursor::escape(std::string& out) {
  static constexpr std::string_view kNames = "abfnrtv\\\"'", kBytes = "\a\b\f\n\r\t\v\\\"'";
  const char c = at_ < text_.size() ? text_[at_] : '\0';
  if (const auto at = kNames.find(c); c != '\0' && at != std::string_view::npos) {
    ++at_;
    out += kBytes[at];
    return {};
  }
  unsigned value = 0;
  if (c == 'x' && at_ + 2 < text_.size()) {
    const auto [end, error] = std::from_chars(text_.data() + at_ + 1, text_.data() + at_ + 3, value, 16);
    if (error == std::errc() && end == text_.data() + at_ + 3) {
      at_ += 3;
      out += static_cast<char>(value);
      return {};
    }
  }
  return wrong("one of the escapes \\n \\t \\r \\\\ \\\" \\x1b");
}

base::Result<std::shared_ptr<const re2::RE2>> Cursor::regex(const std::string& text, bool anchored) {
  RE2::Options options(RE2::Quiet);
  options.set_max_mem(4 << 20);
  auto made = std::make_shared<RE2>(anchored ? "^(?s:" + text + ")$" : text, options);
  if (!made->ok())
    return base::fail(base::ErrorCode::kInvalid,
                      fmt::format("query: \"{}\" is not a regular expression (RE2): {}", text, made->error()));
  return std::shared_ptr<const re2::RE2>(std::move(made));
}

base::Result<double> Cursor::number() {
  blanks();
  std::size_t end = at_;
  if (end < text_.size() && (text_[end] == '-' || text_[end] == '+')) ++end;
  const std::size_t digits = end;
  while (end < text_.size() && end - at_ < 60) {
    const char c = text_[end];
    const bool exponent = (c == 'e' || c == 'E') && end > digits && end + 1 < text_.size() &&
                          (is_digit(text_[end + 1]) || text_[end + 1] == '-' || text_[end + 1] == '+');
    if (exponent) {
      end += 2;
    } else if (is_digit(c) || c == '.') {
      ++end;
    } else {
      break;
    }
  }
  std::string_view text = text_.substr(at_, end - at_);
  if (text.starts_with('+')) text.remove_prefix(1);
  const auto value = plain_number(text);
  if (!value) return wrong("a number");
  at_ = end;
  return *value;
}

base::Result<std::pair<double, LabelFilter::Unit>> Cursor::quantity() {
  blanks();
  const std::size_t begin = at_;
  MAINSTAY_TRY(const double plain, number());
  if (at_ >= text_.size() || !is_name(text_[at_])) return std::pair(plain, LabelFilter::Unit::kNone);
  std::size_t end = at_;
  while (end < text_.size() && (is_name(text_[end]) || text_[end] == '.') && end - begin < 60) ++end;
  const std::string_view text = text_.substr(begin, end - begin);
  for (const auto unit : {LabelFilter::Unit::kDuration, LabelFilter::Unit::kBytes}) {
    if (const auto value = number_of(text, unit)) {
      at_ = end;
      return std::pair(*value, unit);
    }
  }
  at_ = begin;
  return wrong("a number, a duration such as 250ms or a size such as 5MB");
}

base::Result<std::chrono::nanoseconds> Cursor::duration(std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  const auto found = parse_long_duration(text);
  if (!found || *found < std::chrono::milliseconds(1) || *found > std::chrono::hours(24 * 31))
    return wrong("a duration from 1ms to 31d");
  return *found;
}

base::Result<std::vector<std::string>> Cursor::names() {
  std::vector<std::string> out;
  if (!take("(")) return wrong("(");
  while (!take(")")) {
    const std::string_view label = name();
    if (label.empty() || out.size() >= kMaxQueryParts) return wrong("a label's name");
    out.emplace_back(label);
    if (take(")")) break;
    if (!take(",")) return wrong("\",\" or \")\"");
  }
  return out;
}

}  // namespace mainstay::observe
