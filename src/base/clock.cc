#include "base/clock.h"

#include <fmt/format.h>

#include <optional>

namespace mainstay::base {
namespace {

class RealClock final : public Clock {
 public:
  SystemTime now() const override { return std::chrono::system_clock::now(); }
  SteadyTime steady() const override { return std::chrono::steady_clock::now(); }
};

struct Civil {
  int year;
  unsigned month, day;
  long hour, minute, second, micro;
};

Civil civil(SystemTime time) {
  using namespace std::chrono;
  const auto day = floor<days>(time);
  const year_month_day date(day);
  const auto micros = duration_cast<microseconds>(time - day).count();
  return {static_cast<int>(date.year()),
          static_cast<unsigned>(date.month()),
          static_cast<unsigned>(date.day()),
          micros / 3'600'000'000,
          micros / 60'000'000 % 60,
          micros / 1'000'000 % 60,
          micros % 1'000'000};
}

// A cursor over the text: each step takes what it expects, or nothing.
class Cursor {
 public:
  explicit Cursor(std::string_view text) : text_(text) {}
  bool take(char c) {
    if (!text_.starts_with(c)) return false;
    text_.remove_prefix(1);
    return true;
  }
  std::optional<int> digits(std::size_t count) {
    if (text_.size() < count) return std::nullopt;
    int value = 0;
    for (std::size_t i = 0; i < count; ++i) {
      if (text_[i] < '0' || text_[i] > '9') return std::nullopt;
      value = value * 10 + (text_[i] - '0');
    }
    text_.remove_prefix(count);
    return value;
  }
  bool at_end() const { return text_.empty(); }

 private:
  std::string_view text_;
};

// One to nine digits of a fraction as nanoseconds; further ones are dropped.
std::optional<long> fraction(Cursor& cursor) {
  long value = 0, scale = 100'000'000;
  bool any = false;
  while (auto digit = cursor.digits(1)) {
    any = true;
    value += *digit * scale;
    scale /= 10;
  }
  return any ? std::optional(value) : std::nullopt;
}

std::optional<SystemTime> parse(std::string_view text) {
  using namespace std::chrono;
  Cursor in(text);
  const auto year_ = in.digits(4);
  if (!year_ || !in.take('-')) return std::nullopt;
  const auto month_ = in.digits(2);
  if (!month_ || !in.take('-')) return std::nullopt;
  const auto day_ = in.digits(2);
  if (!day_ || !(in.take('T') || in.take('t') || in.take(' '))) return std::nullopt;
  const auto hour = in.digits(2);
  if (!hour || *hour > 23 || !in.take(':')) return std::nullopt;
  const auto minute = in.digits(2);
  if (!minute || *minute > 59 || !in.take(':')) return std::nullopt;
  const auto second = in.digits(2);
  if (!second || *second > 60) return std::nullopt;  // 60: a leap second, read as the next
  long nanos = 0;
  if (in.take('.')) {
    const auto part = fraction(in);
    if (!part) return std::nullopt;
    nanos = *part;
  }
  minutes offset{0};
  if (!in.take('Z') && !in.take('z')) {
    const bool minus = in.take('-');
    if (!minus && !in.take('+')) return std::nullopt;
    const auto offset_hour = in.digits(2);
    if (!offset_hour || *offset_hour > 23 || !in.take(':')) return std::nullopt;
    const auto offset_minute = in.digits(2);
    if (!offset_minute || *offset_minute > 59) return std::nullopt;
    offset = minutes((minus ? -1 : 1) * (*offset_hour * 60 + *offset_minute));
  }
  const year_month_day date{year(*year_), month(static_cast<unsigned>(*month_)), day(static_cast<unsigned>(*day_))};
  // system_clock counts nanoseconds in 64 bits: years 1678 to 2261.
  if (!in.at_end() || !date.ok() || *year_ < 1678 || *year_ > 2261) return std::nullopt;
  return SystemTime(sys_days(date)) + hours(*hour) + minutes(*minute) + seconds(*second) + nanoseconds(nanos) - offset;
}

struct Unit {
  std::string_view name;
  std::int64_t nanos;
};
constexpr Unit kUnits[] = {{"ns", 1},         {"us", 1'000},        {"µs", 1'000},  // U+00B5
                           {"μs", 1'000},                                           // U+03BC
                           {"ms", 1'000'000}, {"s", 1'000'000'000}, {"m", 60'000'000'000}, {"h", 3'600'000'000'000}};

// One "12.5ms" off the front of `text`, as nanoseconds.
std::optional<__int128> take_term(std::string_view& text) {
  __int128 whole = 0, part = 0, scale = 1;
  std::size_t i = 0, digits = 0;
  for (; i < text.size() && text[i] >= '0' && text[i] <= '9'; ++i, ++digits) {
    whole = whole * 10 + (text[i] - '0');
    if (whole > INT64_MAX) return std::nullopt;
  }
  if (i < text.size() && text[i] == '.') {
    for (++i; i < text.size() && text[i] >= '0' && text[i] <= '9'; ++i, ++digits) {
      if (scale >= 1'000'000'000'000'000) continue;  // finer than a nanosecond in any unit
      part = part * 10 + (text[i] - '0');
      scale *= 10;
    }
  }
  if (digits == 0) return std::nullopt;
  std::size_t end = i;
  while (end < text.size() && text[end] != '.' && !(text[end] >= '0' && text[end] <= '9')) ++end;
  for (const Unit& unit : kUnits) {
    if (text.substr(i, end - i) != unit.name) continue;
    text.remove_prefix(end);
    return whole * unit.nanos + part * unit.nanos / scale;
  }
  return std::nullopt;
}

}  // namespace

Clock& real_clock() {
  static RealClock clock;
  return clock;
}

std::string rfc3339(SystemTime time) {
  const Civil c = civil(time);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", c.year, c.month, c.day, c.hour, c.minute, c.second);
}

std::string rfc3339_micro(SystemTime time) {
  const Civil c = civil(time);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z", c.year, c.month, c.day, c.hour, c.minute, c.second,
                     c.micro);
}

Result<SystemTime> parse_rfc3339(std::string_view text) {
  if (const auto time = parse(text)) return *time;
  return fail(ErrorCode::kInvalid,
              fmt::format("time \"{}\" is not RFC 3339, such as 2006-01-02T15:04:05Z", text.substr(0, 80)));
}

Result<std::chrono::nanoseconds> parse_duration(std::string_view text) {
  const auto bad = [text] {
    return fail(ErrorCode::kInvalid,
                fmt::format("duration \"{}\" is not a number with a unit (ns, us, ms, s, m, h), such as 1h30m",
                            text.substr(0, 80)));
  };
  std::string_view rest = text;
  const bool minus = rest.starts_with('-');
  if (minus || rest.starts_with('+')) rest.remove_prefix(1);
  if (rest == "0") return std::chrono::nanoseconds(0);
  if (rest.empty()) return bad();
  __int128 total = 0;
  while (!rest.empty()) {
    const auto term = take_term(rest);
    if (!term) return bad();
    total += *term;
    if (total > INT64_MAX) return bad();
  }
  return std::chrono::nanoseconds(static_cast<std::int64_t>(minus ? -total : total));
}

}  // namespace mainstay::base
