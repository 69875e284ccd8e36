#include <cmath>

#include "base/strings.h"
#include "capabilities/pipelines/expression_node.h"

namespace mainstay::pipelines {
namespace {

using Node = Expression::Node;
using Kind = Node::Kind;

// A value on its way through an evaluation; `filtered` marks the result of `.*`, whose dereferences apply to each item.
struct Partial {
  json::value value;
  bool filtered = false;
};

const json::value* member(const json::object& object, std::string_view key) {
  if (const auto* exact = object.if_contains(key)) return exact;
  for (const auto& entry : object)
    if (base::iequals(entry.key(), key)) return &entry.value();
  return nullptr;
}

json::value index_one(const json::value& what, const json::value& which) {
  if (const auto* object = what.if_object()) {
    const json::value* found = which.is_null() ? nullptr : member(*object, to_text(which));
    return found != nullptr ? *found : json::value();
  }
  if (const auto* array = what.if_array()) {
    const double at = to_number(which);
    if (std::isnan(at) || at < 0 || std::floor(at) >= static_cast<double>(array->size())) return nullptr;
    return (*array)[static_cast<std::size_t>(at)];
  }
  return nullptr;
}

class Evaluator {
 public:
  explicit Evaluator(const EvaluationContext& context) : context_(context) {}

  base::Result<Partial> run(const Node& node) {
    switch (node.kind) {
      case Kind::kLiteral:
        return Partial{node.literal};
      case Kind::kName: {
        const json::value* found = context_.values.if_contains(node.name);
        return Partial{found != nullptr ? *found : json::value()};
      }
      case Kind::kCall:
        return call(node);
      case Kind::kIndex:
        return index(node);
      case Kind::kStar:
        return star(node);
      case Kind::kNot: {
        MAINSTAY_TRY(const Partial what, run(*node.children[0]));
        return Partial{!truthy(what.value)};
      }
      case Kind::kAnd:
      case Kind::kOr: {
        MAINSTAY_TRY(Partial left, run(*node.children[0]));
        if (truthy(left.value) == (node.kind == Kind::kOr)) return left;
        return run(*node.children[1]);
      }
      default:
        return compare(node);
    }
  }

 private:
  base::Result<Partial> call(const Node& node) {
    std::vector<json::value> arguments;
    for (const NodePtr& child : node.children) {
      MAINSTAY_TRY(Partial argument, run(*child));
      arguments.push_back(std::move(argument.value));
    }
    MAINSTAY_TRY(json::value result, call_function(node.name, arguments, context_));
    return Partial{std::move(result)};
  }

  base::Result<Partial> index(const Node& node) {
    // A context is looked into in place: copying all of `github` for one of its members would be waste.
    const Node& from = *node.children[0];
    MAINSTAY_TRY(const Partial which, run(*node.children[1]));
    if (from.kind == Kind::kName) {
      const json::value* whole = context_.values.if_contains(from.name);
      return Partial{whole != nullptr ? index_one(*whole, which.value) : json::value()};
    }
    MAINSTAY_TRY(const Partial what, run(from));
    if (!what.filtered) return Partial{index_one(what.value, which.value)};
    json::array items;
    for (const json::value& item : what.value.as_array()) {
      // Only what is there: an item without the member adds nothing.
      json::value found = index_one(item, which.value);
      if (!found.is_null()) items.push_back(std::move(found));
    }
    return Partial{std::move(items), true};
  }

  base::Result<Partial> star(const Node& node) {
    MAINSTAY_TRY(const Partial what, run(*node.children[0]));
    json::array items;
    const auto add = [&](const json::value& container) {
      if (const auto* array = container.if_array()) items.insert(items.end(), array->begin(), array->end());
      if (const auto* object = container.if_object())
        for (const auto& entry : *object) items.push_back(entry.value());
    };
    if (what.filtered) {
      for (const json::value& item : what.value.as_array()) add(item);
    } else {
      add(what.value);
    }
    return Partial{std::move(items), true};
  }

  base::Result<Partial> compare(const Node& node) {
    MAINSTAY_TRY(const Partial left, run(*node.children[0]));
    MAINSTAY_TRY(const Partial right, run(*node.children[1]));
    if (node.kind == Kind::kEqual) return Partial{loosely_equal(left.value, right.value)};
    if (node.kind == Kind::kNotEqual) return Partial{!loosely_equal(left.value, right.value)};
    int order = 0;
    if (left.value.is_string() && right.value.is_string()) {
      order = base::lower(to_text(left.value)).compare(base::lower(to_text(right.value)));
    } else {
      const double a = to_number(left.value), b = to_number(right.value);
      if (std::isnan(a) || std::isnan(b)) return Partial{false};
      order = a < b ? -1 : a > b ? 1 : 0;
    }
    switch (node.kind) {
      case Kind::kLess:
        return Partial{order < 0};
      case Kind::kLessEqual:
        return Partial{order <= 0};
      case Kind::kGreater:
        return Partial{order > 0};
      default:
        return Partial{order >= 0};
    }
  }

  const EvaluationContext& context_;
};

struct Piece {
  std::string_view text;  // literal text, or the inside of an expression
  bool expression = false;
  std::size_t at = 0;
};

// Splits a text at `${{` and `}}`; a quote inside an expression may hold braces.
base::Result<std::vector<Piece>> pieces(std::string_view text) {
  std::vector<Piece> out;
  std::size_t at = 0;
  while (at < text.size()) {
    const std::size_t open = text.find("${{", at);
    if (open == std::string_view::npos) {
      out.push_back({text.substr(at), false, at});
      break;
    }
    if (open > at) out.push_back({text.substr(at, open - at), false, at});
    bool quoted = false;
    std::size_t end = open + 3;
    while (end < text.size() && (quoted || !text.substr(end).starts_with("}}"))) {
      if (text[end] == '\'') quoted = !quoted;
      ++end;
    }
    if (end >= text.size())
      return base::fail(base::ErrorCode::kInvalid,
                        fmt::format("\"${{{{\" at position {} has no closing \"}}}}\"", open + 1));
    out.push_back({text.substr(open + 3, end - open - 3), true, open});
    at = end + 2;
  }
  return out;
}

}  // namespace

base::Result<json::value> Expression::evaluate(const EvaluationContext& context) const {
  MAINSTAY_TRY(Partial result, Evaluator(context).run(*root_));
  return std::move(result.value);
}

base::Result<json::value> evaluate_template(std::string_view text, const EvaluationContext& context) {
  MAINSTAY_TRY(const std::vector<Piece> parts, pieces(text));
  if (parts.size() == 1 && parts[0].expression) {
    MAINSTAY_TRY(const Expression expression, Expression::parse(parts[0].text));
    return expression.evaluate(context);
  }
  std::string out;
  for (const Piece& part : parts) {
    if (!part.expression) {
      out += part.text;
      continue;
    }
    MAINSTAY_TRY(const Expression expression, Expression::parse(part.text));
    MAINSTAY_TRY(const json::value value, expression.evaluate(context));
    out += to_text(value);
    if (out.size() > kMaxResult)
      return base::fail(base::ErrorCode::kTooLarge, "a text grew over 1 MiB through its expressions");
  }
  return json::value(json::string(out));
}

base::Result<std::string> evaluate_text(std::string_view text, const EvaluationContext& context) {
  MAINSTAY_TRY(const json::value value, evaluate_template(text, context));
  return to_text(value);
}

base::Result<json::value> evaluate_all(const json::value& value, const EvaluationContext& context) {
  if (value.is_string()) return evaluate_template(value.as_string(), context);
  if (const auto* array = value.if_array()) {
    json::array out;
    for (const json::value& item : *array) {
      MAINSTAY_TRY(json::value evaluated, evaluate_all(item, context));
      out.push_back(std::move(evaluated));
    }
    return out;
  }
  if (const auto* object = value.if_object()) {
    json::object out;
    for (const auto& entry : *object) {
      MAINSTAY_TRY(const std::string key, evaluate_text(entry.key(), context));
      MAINSTAY_TRY(json::value evaluated, evaluate_all(entry.value(), context));
      out[key] = std::move(evaluated);
    }
    return out;
  }
  return value;
}

base::Result<bool> evaluate_condition(std::string_view text, const EvaluationContext& context) {
  text = base::trim(text);
  if (text.empty()) return context.standing == Standing::kSuccess;
  const bool wrapped = text.starts_with("${{") && text.ends_with("}}") && text.find("${{", 3) == std::string_view::npos;
  if (!wrapped && text.contains("${{")) {
    // A text with expressions in it: true where what comes out is not empty, as GitHub has it.
    if (context.standing != Standing::kSuccess) return false;
    MAINSTAY_TRY(const json::value value, evaluate_template(text, context));
    return truthy(value);
  }
  if (wrapped) text = text.substr(3, text.size() - 5);
  MAINSTAY_TRY(const Expression expression, Expression::parse(text));
  if (!expression.uses_status_function() && context.standing != Standing::kSuccess) return false;
  MAINSTAY_TRY(const json::value value, expression.evaluate(context));
  return truthy(value);
}

base::Result<> check_template(std::string_view text, std::set<std::string>* contexts, std::size_t* at) {
  auto parts = pieces(text);
  if (!parts) return std::unexpected(parts.error());
  for (const Piece& part : *parts) {
    if (!part.expression) continue;
    auto expression = Expression::parse(part.text);
    if (!expression) {
      if (at != nullptr) *at = part.at;
      return std::unexpected(expression.error());
    }
    if (contexts != nullptr) contexts->merge(expression->contexts());
  }
  return {};
}

}  // namespace mainstay::pipelines
