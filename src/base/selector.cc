#include "base/selector.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "base/json.h"
#include "base/strings.h"

namespace mainstay::base {
namespace {

std::unexpected<Error> bad_selector(std::string_view text, std::string_view why) {
  return fail(ErrorCode::kInvalid, fmt::format("selector \"{}\": {}", text.substr(0, 200), why));
}

std::optional<std::int64_t> integer(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// Splits at commas outside parentheses.
std::vector<std::string_view> split_terms(std::string_view text) {
  std::vector<std::string_view> terms;
  std::size_t start = 0;
  bool inside = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '(') inside = true;
    if (text[i] == ')') inside = false;
    if (text[i] != ',' || inside) continue;
    terms.push_back(text.substr(start, i - start));
    start = i + 1;
  }
  terms.push_back(text.substr(start));
  return terms;
}

std::string field_text(const json::value* value) {
  if (!value || value->is_null()) return {};
  if (value->is_string()) return std::string(value->get_string());
  return json::serialize(*value);
}

}  // namespace

Result<LabelSelector::Term> LabelSelector::parse_term(std::string_view text) {
  const std::string_view term = trim(text);
  if (term.starts_with('!')) return Term{std::string(trim(term.substr(1))), Op::kNotExists, {}};
  const auto at = term.find_first_of("=!<> \t");
  if (at == std::string_view::npos) return Term{std::string(term), Op::kExists, {}};
  Term out{std::string(term.substr(0, at)), Op::kIn, {}};
  std::string_view rest = trim(term.substr(at));
  const auto one = [&](std::size_t width, Op op) {
    out.op = op;
    out.values = {std::string(trim(rest.substr(width)))};
    return out;
  };
  if (rest.starts_with("==")) return one(2, Op::kIn);
  if (rest.starts_with("!=")) return one(2, Op::kNotIn);
  if (rest.starts_with('=')) return one(1, Op::kIn);
  if (rest.starts_with('>')) return one(1, Op::kGreater);
  if (rest.starts_with('<')) return one(1, Op::kLess);
  const bool negated = rest.starts_with("notin");
  if (!negated && !rest.starts_with("in")) {
    return bad_selector(text, "expected =, ==, !=, in, notin, < or > after the key");
  }
  out.op = negated ? Op::kNotIn : Op::kIn;
  rest = trim(rest.substr(negated ? 5 : 2));
  if (!rest.starts_with('(') || !rest.ends_with(')')) {
    return bad_selector(text, "expected values in parentheses after in or notin");
  }
  for (auto value : split(rest.substr(1, rest.size() - 2), ',')) out.values.emplace_back(trim(value));
  return out;
}

Result<> LabelSelector::check(const Term& term) {
  MAINSTAY_TRY_VOID(check_label_key(term.key));
  for (const std::string& value : term.values) {
    if (term.op == Op::kGreater || term.op == Op::kLess) {
      if (!integer(value)) return bad_selector(value, "< and > need an integer");
    } else {
      MAINSTAY_TRY_VOID(check_label_value(value));
    }
  }
  return {};
}

Result<LabelSelector> LabelSelector::parse(std::string_view text) {
  LabelSelector out;
  if (trim(text).empty()) return out;
  for (auto part : split_terms(text)) {
    MAINSTAY_TRY(Term term, parse_term(part));
    MAINSTAY_TRY_VOID(check(term));
    out.terms_.push_back(std::move(term));
  }
  return out;
}

Result<LabelSelector> LabelSelector::from_json(const json::value& v) {
  LabelSelector out;
  if (v.is_null()) {
    out.nothing_ = true;
    return out;
  }
  if (!v.is_object()) return fail(ErrorCode::kInvalid, "selector: must be an object");
  for (const auto& [key, value] : get_object(v, "matchLabels")) {
    if (!value.is_string()) return fail(ErrorCode::kInvalid, "selector.matchLabels: values must be strings");
    out.terms_.push_back({std::string(key), Op::kIn, {std::string(value.get_string())}});
  }
  for (const json::value& expression : get_array(v, "matchExpressions")) {
    Term term{get_string(expression, "key"), Op::kIn, {}};
    const std::string op = get_string(expression, "operator");
    for (const json::value& value : get_array(expression, "values")) {
      if (!value.is_string()) return fail(ErrorCode::kInvalid, "selector.matchExpressions: values must be strings");
      term.values.emplace_back(value.get_string());
    }
    if (op == "In" || op == "NotIn") {
      term.op = op == "In" ? Op::kIn : Op::kNotIn;
      if (term.values.empty()) {
        return fail(ErrorCode::kInvalid, "selector.matchExpressions: In and NotIn need at least one value");
      }
    } else if (op == "Exists" || op == "DoesNotExist") {
      term.op = op == "Exists" ? Op::kExists : Op::kNotExists;
      if (!term.values.empty()) {
        return fail(ErrorCode::kInvalid, "selector.matchExpressions: Exists and DoesNotExist take no values");
      }
    } else if (op == "Gt" || op == "Lt") {  // of node selectors
      term.op = op == "Gt" ? Op::kGreater : Op::kLess;
      if (term.values.size() != 1) {
        return fail(ErrorCode::kInvalid, "selector.matchExpressions: Gt and Lt need exactly one value");
      }
    } else {
      return fail(ErrorCode::kInvalid,
                  fmt::format("selector.matchExpressions: operator \"{}\" is none of In, NotIn, Exists, DoesNotExist",
                              op.substr(0, 40)));
    }
    out.terms_.push_back(std::move(term));
  }
  for (const Term& term : out.terms_) MAINSTAY_TRY_VOID(check(term));
  return out;
}

bool LabelSelector::matches(const json::object& labels) const {
  if (nothing_) return false;
  return std::all_of(terms_.begin(), terms_.end(), [&labels](const Term& term) {
    const json::value* found = labels.if_contains(term.key);
    const std::optional<std::string_view> value =
        found && found->is_string() ? std::optional<std::string_view>(found->get_string()) : std::nullopt;
    const auto listed = [&] { return std::find(term.values.begin(), term.values.end(), *value) != term.values.end(); };
    switch (term.op) {
      case Op::kIn:
        return value && listed();
      case Op::kNotIn:
        return !value || !listed();
      case Op::kExists:
        return value.has_value();
      case Op::kNotExists:
        return !value.has_value();
      case Op::kGreater:
      case Op::kLess:
        break;
    }
    const auto number = value ? integer(*value) : std::nullopt;
    const auto bound = integer(term.values.front());
    if (!number || !bound) return false;
    return term.op == Op::kGreater ? *number > *bound : *number < *bound;
  });
}

bool LabelSelector::matches_object(const json::value& object) const {
  return matches(get_object(object, "metadata.labels"));
}

std::string LabelSelector::to_string() const {
  std::vector<std::string> parts;
  for (const Term& term : terms_) {
    const bool single = term.values.size() == 1;
    switch (term.op) {
      case Op::kIn:
        parts.push_back(single ? fmt::format("{}={}", term.key, term.values[0])
                               : fmt::format("{} in ({})", term.key, join(term.values, ",")));
        break;
      case Op::kNotIn:
        parts.push_back(single ? fmt::format("{}!={}", term.key, term.values[0])
                               : fmt::format("{} notin ({})", term.key, join(term.values, ",")));
        break;
      case Op::kExists:
        parts.push_back(term.key);
        break;
      case Op::kNotExists:
        parts.push_back("!" + term.key);
        break;
      case Op::kGreater:
        parts.push_back(fmt::format("{}>{}", term.key, term.values[0]));
        break;
      case Op::kLess:
        parts.push_back(fmt::format("{}<{}", term.key, term.values[0]));
        break;
    }
  }
  return join(parts, ",");
}

Result<FieldSelector> FieldSelector::parse(std::string_view text) {
  FieldSelector out;
  if (text.empty()) return out;
  Term term{"", true, ""};
  bool in_value = false, pending = false;
  const auto finish = [&]() -> Result<> {
    if (!in_value || term.path.empty()) return bad_selector(text, "a field selector is path=value or path!=value");
    out.terms_.push_back(std::move(term));
    term = Term{"", true, ""};
    in_value = false;
    return {};
  };
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    pending = true;
    if (in_value && c == '\\') {  // escapes of , = and \ as in k8s.io/apimachinery/pkg/fields
      if (++i == text.size() || (text[i] != ',' && text[i] != '=' && text[i] != '\\')) {
        return bad_selector(text, "'\\' must be followed by ',', '=' or '\\'");
      }
      term.value += text[i];
    } else if (c == ',') {
      MAINSTAY_TRY_VOID(finish());
      pending = false;
    } else if (in_value) {
      if (c == '=') return bad_selector(text, "'=' in a value must be written \\=");
      term.value += c;
    } else if (c == '!' || c == '=') {
      term.equal = c == '=';
      const bool next_is_equals = i + 1 < text.size() && text[i + 1] == '=';
      if (c == '!' && !next_is_equals) return bad_selector(text, "'!' must be followed by '='");
      if (next_is_equals) ++i;
      in_value = true;
    } else {
      term.path += c;
    }
  }
  if (pending) MAINSTAY_TRY_VOID(finish());
  return out;
}

bool FieldSelector::matches(const json::value& object) const {
  return std::all_of(terms_.begin(), terms_.end(), [&object](const Term& term) {
    return (field_text(find(object, term.path)) == term.value) == term.equal;
  });
}

std::vector<std::string> FieldSelector::paths() const {
  std::vector<std::string> out;
  for (const Term& term : terms_) out.push_back(term.path);
  return out;
}

std::string FieldSelector::required(std::string_view path) const {
  for (const Term& term : terms_) {
    if (term.equal && term.path == path) return term.value;
  }
  return {};
}

}  // namespace mainstay::base
