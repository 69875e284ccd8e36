// The values of expressions and the functions over them.
#include <charconv>
#include <cmath>

#include "base/strings.h"
#include "capabilities/pipelines/expression_node.h"

namespace mainstay::pipelines {
namespace {

constexpr Arity kFunctions[] = {{"contains", 2, 2}, {"startswith", 2, 2}, {"endswith", 2, 2}, {"format", 1, 255},
                                {"join", 1, 2},     {"tojson", 1, 1},     {"fromjson", 1, 1}, {"hashfiles", 1, 255},
                                {"success", 0, 0},  {"failure", 0, 0},    {"always", 0, 0},   {"cancelled", 0, 0}};

bool is_primitive(const json::value& value) { return !value.is_object() && !value.is_array(); }

double number_of(const json::value& value) {
  return value.is_int64()    ? static_cast<double>(value.get_int64())
         : value.is_uint64() ? static_cast<double>(value.get_uint64())
                             : value.get_double();
}

double parse_number(std::string_view text) {
  text = base::trim(text);
  if (text.empty()) return 0;
  constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
  bool negative = false;
  std::string_view digits = text;
  if (digits.front() == '+' || digits.front() == '-') {
    negative = digits.front() == '-';
    digits.remove_prefix(1);
  }
  if (digits == "Infinity")
    return negative ? -std::numeric_limits<double>::infinity() : std::numeric_limits<double>::infinity();
  for (const auto& [prefix, radix] : {std::pair{"0x", 16}, std::pair{"0o", 8}}) {
    if (!digits.starts_with(prefix) || digits.data() != text.data()) continue;
    std::uint64_t whole = 0;
    const auto [end, error] = std::from_chars(digits.data() + 2, digits.data() + digits.size(), whole, radix);
    return error == std::errc() && end == digits.data() + digits.size()
               ? static_cast<double>(static_cast<std::int32_t>(whole))
               : kNaN;
  }
  if (digits.empty() || (!std::isdigit(static_cast<unsigned char>(digits.front())) && digits.front() != '.'))
    return kNaN;
  double value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc() || end != digits.data() + digits.size()) return kNaN;
  return negative ? -value : value;
}

void pretty(const json::value& value, int indent, std::string& out) {
  const std::string pad(static_cast<std::size_t>(indent + 1) * 2, ' '), back(static_cast<std::size_t>(indent) * 2, ' ');
  bool first = true;
  if (const auto* object = value.if_object()) {
    if (object->empty()) {
      out += "{}";
      return;
    }
    out += "{";
    for (const auto& entry : *object) {
      out += (first ? "\n" : ",\n") + pad + json::serialize(json::value(json::string(entry.key()))) + ": ";
      pretty(entry.value(), indent + 1, out);
      first = false;
    }
    out += "\n" + back + "}";
  } else if (const auto* array = value.if_array()) {
    if (array->empty()) {
      out += "[]";
      return;
    }
    out += "[";
    for (const json::value& item : *array) {
      out += (first ? "\n" : ",\n") + pad;
      pretty(item, indent + 1, out);
      first = false;
    }
    out += "\n" + back + "]";
  } else if (value.is_number()) {
    out += to_text(value);
  } else {
    out += json::serialize(value);
  }
}

base::Result<json::value> format_text(const std::vector<json::value>& arguments) {
  const std::string pattern = to_text(arguments[0]);
  std::string out;
  for (std::size_t at = 0; at < pattern.size(); ++at) {
    const char c = pattern[at];
    if ((c == '{' || c == '}') && at + 1 < pattern.size() && pattern[at + 1] == c) {
      out += c;
      ++at;
    } else if (c == '{') {
      const std::size_t end = pattern.find('}', at);
      std::size_t which = 0;
      const char* first = pattern.data() + at + 1;
      const char* last = end == std::string::npos ? first : pattern.data() + end;
      const auto [stop, error] = std::from_chars(first, last, which);
      if (error != std::errc() || stop != last || last == first)
        return base::fail(base::ErrorCode::kInvalid,
                          fmt::format("format: the pattern '{}' is not well formed", pattern));
      if (which + 1 >= arguments.size())
        return base::fail(base::ErrorCode::kInvalid, fmt::format("format: there is no argument for {{{}}}", which));
      out += to_text(arguments[which + 1]);
      at = end;
    } else if (c == '}') {
      return base::fail(base::ErrorCode::kInvalid, fmt::format("format: the pattern '{}' is not well formed", pattern));
    } else {
      out += c;
    }
    if (out.size() > kMaxResult) return base::fail(base::ErrorCode::kTooLarge, "format: the result is over 1 MiB");
  }
  return json::value(json::string(out));
}

base::Result<json::value> join(const std::vector<json::value>& arguments) {
  if (is_primitive(arguments[0])) return json::value(json::string(to_text(arguments[0])));
  const std::string separator = arguments.size() > 1 && is_primitive(arguments[1]) ? to_text(arguments[1]) : ",";
  std::string out;
  bool first = true;
  if (const auto* array = arguments[0].if_array()) {
    for (const json::value& item : *array) {
      if (!first) out += separator;
      first = false;
      out += is_primitive(item) ? to_text(item) : "";
      if (out.size() > kMaxResult) return base::fail(base::ErrorCode::kTooLarge, "join: the result is over 1 MiB");
    }
  }
  return json::value(json::string(out));
}

bool contains(const json::value& where, const json::value& what) {
  if (const auto* array = where.if_array())
    return std::ranges::any_of(*array, [&](const json::value& item) { return loosely_equal(item, what); });
  if (!is_primitive(where) || !is_primitive(what)) return false;
  return base::lower(to_text(where)).contains(base::lower(to_text(what)));
}

}  // namespace

const Arity* find_function(std::string_view name) {
  const auto* at = std::ranges::find(kFunctions, name, &Arity::name);
  return at == std::end(kFunctions) ? nullptr : at;
}

bool is_status_function(std::string_view name) {
  return name == "success" || name == "failure" || name == "always" || name == "cancelled";
}

double to_number(const json::value& value) {
  if (value.is_null()) return 0;
  if (value.is_bool()) return value.get_bool() ? 1 : 0;
  if (value.is_number()) return number_of(value);
  if (value.is_string()) return parse_number(value.get_string());
  return std::numeric_limits<double>::quiet_NaN();
}

std::string to_text(const json::value& value) {
  switch (value.kind()) {
    case json::kind::null:
      return "";
    case json::kind::bool_:
      return value.get_bool() ? "true" : "false";
    case json::kind::string:
      return std::string(value.get_string());
    case json::kind::array:
      return "Array";
    case json::kind::object:
      return "Object";
    default:
      break;
  }
  const double number = number_of(value);
  if (std::isnan(number)) return "NaN";
  if (std::isinf(number)) return number > 0 ? "Infinity" : "-Infinity";
  return fmt::format("{:.15g}", number == 0 ? 0.0 : number);
}

bool truthy(const json::value& value) {
  if (value.is_null()) return false;
  if (value.is_bool()) return value.get_bool();
  if (value.is_string()) return !value.get_string().empty();
  if (value.is_number()) return number_of(value) != 0 && !std::isnan(number_of(value));
  return true;
}

bool loosely_equal(const json::value& a, const json::value& b) {
  if (a.is_string() && b.is_string()) return base::iequals(a.get_string(), b.get_string());
  if (a.is_null() && b.is_null()) return true;
  // Arrays and objects are equal where they are the same one; a copy cannot tell, so the same content counts.
  if (!is_primitive(a) || !is_primitive(b)) return a.kind() == b.kind() && a == b;
  const double x = to_number(a), y = to_number(b);
  return !std::isnan(x) && !std::isnan(y) && x == y;
}

base::Result<json::value> call_function(std::string_view name, const std::vector<json::value>& a,
                                        const EvaluationContext& context) {
  const auto affix = [&](bool start) {
    if (!is_primitive(a[0]) || !is_primitive(a[1])) return false;
    const std::string where = base::lower(to_text(a[0])), what = base::lower(to_text(a[1]));
    return start ? where.starts_with(what) : where.ends_with(what);
  };
  if (name == "contains") return json::value(contains(a[0], a[1]));
  if (name == "startswith") return json::value(affix(true));
  if (name == "endswith") return json::value(affix(false));
  if (name == "format") return format_text(a);
  if (name == "join") return join(a);
  if (name == "tojson") {
    std::string out;
    pretty(a[0], 0, out);
    return json::value(json::string(out));
  }
  if (name == "fromjson") {
    auto parsed = base::parse_json(to_text(a[0]), kMaxExpressionDepth);
    if (!parsed) return base::fail(base::ErrorCode::kInvalid, "fromJSON: " + parsed.error().message);
    return parsed;
  }
  if (name == "hashfiles") {
    if (!context.hash_files) return base::fail(base::ErrorCode::kInvalid, "hashFiles can be used in steps only");
    std::vector<std::string> patterns;
    for (const json::value& pattern : a) patterns.push_back(to_text(pattern));
    auto hash = context.hash_files(patterns);
    if (!hash) return std::unexpected(hash.error());
    return json::value(json::string(*hash));
  }
  if (name == "success") return json::value(context.standing == Standing::kSuccess);
  if (name == "failure") return json::value(context.standing == Standing::kFailure);
  if (name == "cancelled") return json::value(context.standing == Standing::kCancelled);
  return json::value(true);  // always()
}

}  // namespace mainstay::pipelines
