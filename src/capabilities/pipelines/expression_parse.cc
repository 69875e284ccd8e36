#include <charconv>

#include "base/strings.h"
#include "capabilities/pipelines/expression_node.h"

namespace mainstay::pipelines {
namespace {

using Node = Expression::Node;
using Kind = Node::Kind;

bool name_start(char c) { return std::isalpha(static_cast<unsigned char>(c)) || c == '_'; }
bool name_part(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-'; }

constexpr std::string_view kContexts[] = {"github", "env",     "job",    "jobs", "steps",  "needs",
                                          "matrix", "secrets", "runner", "vars", "inputs", "strategy"};

NodePtr make(Kind kind, std::vector<NodePtr> children, std::string name = "") {
  auto node = std::make_shared<Node>();
  node->kind = kind;
  node->children = std::move(children);
  node->name = std::move(name);
  return node;
}
NodePtr literal(json::value value) {
  auto node = std::make_shared<Node>();
  node->literal = std::move(value);
  return node;
}

// Recursive descent; the depth is bounded, so is the length.
class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  base::Result<NodePtr> run() {
    MAINSTAY_TRY(NodePtr node, alternative(0));
    skip();
    if (at_ < text_.size()) return fault(fmt::format("unexpected \"{}\"", text_[at_]));
    return node;
  }

 private:
  std::unexpected<base::Error> fault(std::string what) const {
    return base::fail(base::ErrorCode::kInvalid, fmt::format("{} at position {} of the expression \"{}\"", what,
                                                             at_ + 1, std::string(base::trim(text_)).substr(0, 120)));
  }
  void skip() {
    while (at_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[at_]))) ++at_;
  }
  bool take(std::string_view token) {
    skip();
    if (!text_.substr(at_).starts_with(token)) return false;
    at_ += token.size();
    return true;
  }
  bool peek(char c) {
    skip();
    return at_ < text_.size() && text_[at_] == c;
  }

  base::Result<NodePtr> alternative(int depth) {
    MAINSTAY_TRY(NodePtr left, conjunction(depth));
    while (take("||")) {
      MAINSTAY_TRY(NodePtr right, conjunction(depth));
      left = make(Kind::kOr, {left, right});
    }
    return left;
  }
  base::Result<NodePtr> conjunction(int depth) {
    MAINSTAY_TRY(NodePtr left, equality(depth));
    while (take("&&")) {
      MAINSTAY_TRY(NodePtr right, equality(depth));
      left = make(Kind::kAnd, {left, right});
    }
    return left;
  }
  base::Result<NodePtr> equality(int depth) {
    MAINSTAY_TRY(NodePtr left, comparison(depth));
    for (;;) {
      const Kind kind = take("==") ? Kind::kEqual : take("!=") ? Kind::kNotEqual : Kind::kLiteral;
      if (kind == Kind::kLiteral) return left;
      MAINSTAY_TRY(NodePtr right, comparison(depth));
      left = make(kind, {left, right});
    }
  }
  base::Result<NodePtr> comparison(int depth) {
    MAINSTAY_TRY(NodePtr left, unary(depth));
    for (;;) {
      const Kind kind = take("<=")   ? Kind::kLessEqual
                        : take(">=") ? Kind::kGreaterEqual
                        : take("<")  ? Kind::kLess
                        : take(">")  ? Kind::kGreater
                                     : Kind::kLiteral;
      if (kind == Kind::kLiteral) return left;
      MAINSTAY_TRY(NodePtr right, unary(depth));
      left = make(kind, {left, right});
    }
  }
  base::Result<NodePtr> unary(int depth) {
    if (depth > kMaxExpressionDepth) return fault("nested too deeply");
    skip();
    if (at_ < text_.size() && text_[at_] == '!' && !text_.substr(at_).starts_with("!=")) {
      ++at_;
      MAINSTAY_TRY(NodePtr what, unary(depth + 1));
      return make(Kind::kNot, {what});
    }
    MAINSTAY_TRY(NodePtr what, primary(depth + 1));
    return suffixes(std::move(what), depth + 1);
  }
  base::Result<NodePtr> suffixes(NodePtr what, int depth) {
    for (int count = 0;; ++count) {
      if (count > kMaxExpressionDepth) return fault("too many parts in one reference");
      if (take(".")) {
        skip();
        if (take("*")) {
          what = make(Kind::kStar, {what});
          continue;
        }
        if (at_ >= text_.size() || !name_start(text_[at_])) return fault("expected a name after the dot");
        what = make(Kind::kIndex, {what, literal(json::value(json::string(word())))});
      } else if (take("[")) {
        if (take("*")) {
          what = make(Kind::kStar, {what});
        } else {
          MAINSTAY_TRY(NodePtr which, alternative(depth + 1));
          what = make(Kind::kIndex, {what, which});
        }
        if (!take("]")) return fault("expected ]");
      } else {
        return what;
      }
    }
  }
  std::string_view word() {
    const std::size_t start = at_;
    while (at_ < text_.size() && name_part(text_[at_])) ++at_;
    return text_.substr(start, at_ - start);
  }
  base::Result<NodePtr> primary(int depth) {
    if (depth > kMaxExpressionDepth) return fault("nested too deeply");
    skip();
    if (at_ >= text_.size()) return fault("the expression ends too early");
    if (take("(")) {
      MAINSTAY_TRY(NodePtr inner, alternative(depth + 1));
      if (!take(")")) return fault("expected )");
      return inner;
    }
    const char c = text_[at_];
    if (c == '\'') return quoted();
    if (c == '"') return fault("texts are written in single quotes");
    if (std::isdigit(static_cast<unsigned char>(c)) || c == '-' || c == '+' || c == '.') return number();
    if (!name_start(c)) return fault(fmt::format("unexpected \"{}\"", c));
    const std::size_t start = at_;
    const std::string name(word());
    if (peek('(')) return call(base::lower(name), start, depth);
    if (name == "true") return literal(true);
    if (name == "false") return literal(false);
    if (name == "null") return literal(nullptr);
    if (name == "NaN") return literal(std::numeric_limits<double>::quiet_NaN());
    if (name == "Infinity") return literal(std::numeric_limits<double>::infinity());
    const std::string lower = base::lower(name);
    for (std::string_view known : kContexts)
      if (lower == known) return make(Kind::kName, {}, lower);
    at_ = start;
    return fault(
        fmt::format("there is no context \"{}\" (there are github, env, job, steps, needs, matrix, secrets, runner, "
                    "vars, inputs, strategy)",
                    name));
  }
  base::Result<NodePtr> quoted() {
    std::string out;
    for (++at_; at_ < text_.size(); ++at_) {
      if (text_[at_] != '\'') {
        out += text_[at_];
      } else if (at_ + 1 < text_.size() && text_[at_ + 1] == '\'') {
        out += '\'';
        ++at_;
      } else {
        ++at_;
        return literal(json::value(json::string(out)));
      }
    }
    return fault("a text without its closing quote");
  }
  base::Result<NodePtr> number() {
    const std::size_t start = at_;
    while (at_ < text_.size() && (name_part(text_[at_]) || text_[at_] == '.' || text_[at_] == '+')) ++at_;
    const std::string part(text_.substr(start, at_ - start));
    const double value = to_number(json::value(json::string(part)));
    if (std::isnan(value)) {
      at_ = start;
      return fault(fmt::format("\"{}\" is not a number", part));
    }
    return literal(value);
  }
  base::Result<NodePtr> call(std::string name, std::size_t start, int depth) {
    const Arity* function = find_function(name);
    if (function == nullptr) {
      at_ = start;
      return fault(
          fmt::format("there is no function \"{}\" (there are contains, startsWith, endsWith, format, join, toJSON, "
                      "fromJSON, hashFiles, success, failure, always, cancelled)",
                      name));
    }
    take("(");
    std::vector<NodePtr> arguments;
    if (!take(")")) {
      do {
        MAINSTAY_TRY(NodePtr argument, alternative(depth + 1));
        arguments.push_back(std::move(argument));
      } while (take(","));
      if (!take(")")) return fault("expected ) or ,");
    }
    if (arguments.size() < function->least || arguments.size() > function->most) {
      at_ = start;
      return fault(fmt::format("{} takes {} argument{}, not {}", name,
                               function->least == function->most ? fmt::format("{}", function->least)
                               : function->most > 100            ? fmt::format("at least {}", function->least)
                                                      : fmt::format("{} to {}", function->least, function->most),
                               function->most == 1 ? "" : "s", arguments.size()));
    }
    return make(Kind::kCall, std::move(arguments), std::move(name));
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

}  // namespace

base::Result<Expression> Expression::parse(std::string_view text) {
  if (text.size() > kMaxExpression)
    return base::fail(base::ErrorCode::kTooLarge,
                      fmt::format("an expression has at most {} characters", kMaxExpression));
  if (base::trim(text).empty()) return base::fail(base::ErrorCode::kInvalid, "an expression must not be empty");
  Expression expression;
  MAINSTAY_TRY(expression.root_, Parser(text).run());
  return expression;
}

namespace {

template <class F>
void walk(const Node& node, const F& visit) {
  visit(node);
  for (const NodePtr& child : node.children) walk(*child, visit);
}

}  // namespace

bool Expression::uses_status_function() const {
  bool used = false;
  walk(*root_, [&](const Node& node) { used = used || (node.kind == Kind::kCall && is_status_function(node.name)); });
  return used;
}

std::set<std::string> Expression::contexts() const {
  std::set<std::string> names;
  walk(*root_, [&](const Node& node) {
    if (node.kind == Kind::kName) names.insert(node.name);
  });
  return names;
}

}  // namespace mainstay::pipelines
