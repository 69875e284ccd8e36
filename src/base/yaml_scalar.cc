#include "base/yaml_scalar.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <optional>
#include <string>

namespace mainstay::base {
namespace json = boost::json;
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool all_digits(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

// [-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?
bool is_number(std::string_view text) {
  if (text.starts_with('-') || text.starts_with('+')) text.remove_prefix(1);
  std::size_t i = 0, digits = 0;
  for (; i < text.size() && is_digit(text[i]); ++i) ++digits;
  if (i < text.size() && text[i] == '.') {
    for (++i; i < text.size() && is_digit(text[i]); ++i) ++digits;
  }
  if (digits == 0) return false;
  if (i == text.size()) return true;
  if (text[i] != 'e' && text[i] != 'E') return false;
  std::string_view exponent = text.substr(i + 1);
  if (exponent.starts_with('-') || exponent.starts_with('+')) exponent.remove_prefix(1);
  return all_digits(exponent);
}

json::value integer(std::string_view digits, int radix) {
  std::int64_t value = 0;
  const char* end = digits.data() + digits.size();
  if (auto [at, error] = std::from_chars(digits.data(), end, value, radix); error == std::errc() && at == end)
    return value;
  std::uint64_t large = 0;
  if (auto [at, error] = std::from_chars(digits.data(), end, large, radix); error == std::errc() && at == end)
    return large;
  return nullptr;
}

Result<json::value> number(std::string_view text) {
  const std::string_view bare = text.starts_with('+') ? text.substr(1) : text;
  if (all_digits(bare.starts_with('-') ? bare.substr(1) : bare)) {
    json::value whole = integer(bare, 10);
    if (!whole.is_null()) return whole;
  }
  double value = 0;
  const auto [end, error] = std::from_chars(bare.data(), bare.data() + bare.size(), value);
  if (error == std::errc::result_out_of_range || !std::isfinite(value)) {
    return fail(ErrorCode::kInvalid, fmt::format("the number {} is out of range", text.substr(0, 40)));
  }
  return value;
}

std::optional<bool> boolean(std::string_view text) {
  if (text == "true" || text == "True" || text == "TRUE") return true;
  if (text == "false" || text == "False" || text == "FALSE") return false;
  return std::nullopt;
}

bool is_null(std::string_view text) {
  return text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL";
}

bool is_infinite_or_nan(std::string_view text) {
  if (text == ".nan" || text == ".NaN" || text == ".NAN") return true;
  if (text.starts_with('-') || text.starts_with('+')) text.remove_prefix(1);
  return text == ".inf" || text == ".Inf" || text == ".INF";
}

}  // namespace

Result<json::value> resolve_yaml_scalar(std::string_view text) {
  if (is_null(text)) return json::value();
  if (const auto value = boolean(text)) return json::value(*value);
  const char first = text.front();
  if (is_digit(first) || first == '-' || first == '+' || first == '.') {
    if (text.starts_with("0x") || text.starts_with("0o")) {
      json::value whole = integer(text.substr(2), text[1] == 'x' ? 16 : 8);
      if (!whole.is_null() && text[2] != '-') return whole;
    } else if (is_number(text)) {
      return number(text);
    } else if (is_infinite_or_nan(text)) {
      return fail(ErrorCode::kInvalid, fmt::format("{} has no counterpart in JSON", text));
    }
  }
  return json::value(text);
}

Result<json::value> resolve_tagged_yaml_scalar(std::string_view tag, std::string_view text) {
  const auto bad = [&] {
    return fail(ErrorCode::kInvalid,
                fmt::format("\"{}\" does not fit its tag {}", text.substr(0, 40), tag.substr(0, 80)));
  };
  constexpr std::string_view kCore = "tag:yaml.org,2002:";
  if (!tag.starts_with(kCore)) {
    return fail(ErrorCode::kInvalid, fmt::format("the tag {} is not supported", tag.substr(0, 80)));
  }
  tag.remove_prefix(kCore.size());
  if (tag == "str") return json::value(text);
  if (tag != "null" && tag != "bool" && tag != "int" && tag != "float") {
    return fail(ErrorCode::kInvalid, fmt::format("the tag !!{} is not supported", tag.substr(0, 80)));
  }
  MAINSTAY_TRY(json::value value, resolve_yaml_scalar(text));
  if (tag == "null" && value.is_null()) return value;
  if (tag == "bool" && value.is_bool()) return value;
  if (tag == "int" && (value.is_int64() || value.is_uint64())) return value;
  if (tag == "float" && value.is_number()) return json::value(value.to_number<double>());
  return bad();
}

}  // namespace mainstay::base
