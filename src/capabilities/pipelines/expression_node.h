// The parts of an expression's tree, between parser and evaluator.
#pragma once
#include <vector>

#include "capabilities/pipelines/expression.h"

namespace mainstay::pipelines {

struct Expression::Node {
  enum class Kind {
    kLiteral,
    kName,
    kCall,
    kIndex,
    kStar,
    kNot,
    kAnd,
    kOr,
    kEqual,
    kNotEqual,
    kLess,
    kLessEqual,
    kGreater,
    kGreaterEqual
  };
  Kind kind = Kind::kLiteral;
  json::value literal;                                // kLiteral
  std::string name;                                   // kName (a context), kCall (lower-case)
  std::vector<std::shared_ptr<const Node>> children;  // operands, arguments; kIndex: what, which; kStar: what
};
using NodePtr = std::shared_ptr<const Expression::Node>;

// The arguments' least and greatest number; nullptr where there is no such function (`name` in lower case).
struct Arity {
  std::string_view name;
  std::size_t least, most;
};
const Arity* find_function(std::string_view name);
bool is_status_function(std::string_view name);
// Applies a function to values already evaluated.
base::Result<json::value> call_function(std::string_view name, const std::vector<json::value>& arguments,
                                        const EvaluationContext& context);
double to_number(const json::value& value);

inline constexpr std::size_t kMaxExpression = 21000;  // GitHub's own bounds
inline constexpr int kMaxExpressionDepth = 50;
inline constexpr std::size_t kMaxResult = 1u << 20;

}  // namespace mainstay::pipelines
