#include "base/quantity.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <optional>

namespace mainstay::base {
namespace {

using Wide = unsigned __int128;
constexpr std::int64_t kMax = INT64_MAX;

// value = mantissa * 2^binary * 10^decimal, a little more where `sticky`.
struct Parsed {
  bool negative = false;
  Wide mantissa = 0;
  int decimal = 0;
  int binary = 0;
  bool sticky = false;
};

struct Suffix {
  std::string_view text;
  int decimal, binary;
};
constexpr Suffix kSuffixes[] = {{"", 0, 0},    {"n", -9, 0},  {"u", -6, 0},  {"m", -3, 0}, {"k", 3, 0},   {"M", 6, 0},
                                {"G", 9, 0},   {"T", 12, 0},  {"P", 15, 0},  {"E", 18, 0}, {"Ki", 0, 10}, {"Mi", 0, 20},
                                {"Gi", 0, 30}, {"Ti", 0, 40}, {"Pi", 0, 50}, {"Ei", 0, 60}};

bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool take_suffix(std::string_view text, Parsed& out) {
  for (const Suffix& suffix : kSuffixes) {
    if (text != suffix.text) continue;
    out.decimal += suffix.decimal;
    out.binary = suffix.binary;
    return true;
  }
  if (text.size() < 2 || (text[0] != 'e' && text[0] != 'E')) return false;
  text.remove_prefix(1);
  const bool minus = text.starts_with('-');
  if (minus || text.starts_with('+')) text.remove_prefix(1);
  if (text.empty()) return false;
  int exponent = 0;
  for (char c : text) {
    if (!is_digit(c)) return false;
    exponent = std::min(exponent * 10 + (c - '0'), 10'000);  // far past either end already
  }
  out.decimal += minus ? -exponent : exponent;
  return true;
}

// apimachinery's grammar: <sign>? <digits>(.<digits>)? <suffix or exponent>?
std::optional<Parsed> parse(std::string_view text) {
  constexpr Wide kRoom = Wide(1'000'000'000'000'000'000);  // 19 digits: shifted by 60 bits they still fit
  Parsed out;
  if (text.size() > 256) return std::nullopt;
  out.negative = text.starts_with('-');
  if (out.negative || text.starts_with('+')) text.remove_prefix(1);
  std::size_t i = 0, digits = 0;
  bool after_point = false;
  for (; i < text.size(); ++i) {
    if (text[i] == '.' && !after_point) {
      after_point = true;
      continue;
    }
    if (!is_digit(text[i])) break;
    ++digits;
    if (out.mantissa < kRoom) {
      out.mantissa = out.mantissa * 10 + static_cast<unsigned>(text[i] - '0');
      if (after_point) --out.decimal;
    } else {
      if (!after_point) ++out.decimal;
      out.sticky |= text[i] != '0';
    }
  }
  if (digits == 0 || !take_suffix(text.substr(i), out)) return std::nullopt;
  return out;
}

// Rounded away from zero and capped at the largest int64, as Kubernetes does with both.
std::int64_t scaled(Parsed q) {
  if (q.mantissa == 0 && !q.sticky) return 0;
  Wide value = q.mantissa << q.binary;
  for (; q.decimal < 0 && value > 0; ++q.decimal) {
    q.sticky |= value % 10 != 0;
    value /= 10;
  }
  for (; q.decimal > 0 && value <= Wide(kMax); --q.decimal) value *= 10;
  if (q.sticky && value < Wide(kMax)) ++value;
  const std::int64_t magnitude = value > Wide(kMax) ? kMax : static_cast<std::int64_t>(value);
  return q.negative ? -magnitude : magnitude;
}

Result<std::int64_t> parse_scaled(std::string_view text, int decimal) {
  auto parsed = parse(text);
  if (!parsed) {
    return fail(ErrorCode::kInvalid,
                fmt::format("quantity \"{}\" is not a number with an optional suffix, such as 500m, 1.5Gi or 2e3",
                            text.substr(0, 80)));
  }
  parsed->decimal += decimal;
  return scaled(*parsed);
}

}  // namespace

Result<std::int64_t> parse_quantity_milli(std::string_view text) { return parse_scaled(text, 3); }
Result<std::int64_t> parse_quantity(std::string_view text) { return parse_scaled(text, 0); }

std::string format_bytes(std::int64_t bytes) {
  constexpr std::string_view kNames[] = {"", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"};
  std::size_t unit = 0;
  while (bytes != 0 && bytes % 1024 == 0 && unit + 1 < std::size(kNames)) {
    bytes /= 1024;
    ++unit;
  }
  return fmt::format("{}{}", bytes, kNames[unit]);
}

std::int64_t coarse(std::int64_t value, std::int64_t step) {
  if (value <= 0) return 0;
  const auto sixteenth = static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(value)) / 16);
  const std::int64_t unit = std::max(step, sixteenth);
  return (value + unit - 1) / unit * unit;
}

}  // namespace mainstay::base
