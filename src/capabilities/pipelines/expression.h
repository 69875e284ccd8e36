// Expressions of GitHub Actions workflows: `${{ … }}` in texts, and the bare form of `if:`. Semantics as published in
// "Evaluate expressions in workflows and actions" (docs.github.com): loose equality, case-insensitive text, && and ||
// that give operands. No I/O but hashFiles(), which the caller provides. Bounded in length, depth and size of results.
#pragma once
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace mainstay::pipelines {
namespace json = boost::json;

// How the job or its steps stand, for success() and its like.
// kSkipped: something needed was skipped, nothing failed.
enum class Standing { kSuccess, kFailure, kCancelled, kSkipped };

struct EvaluationContext {
  json::object values;  // github, env, job, steps, needs, matrix, secrets, runner, vars, inputs, strategy
  Standing standing = Standing::kSuccess;
  std::function<base::Result<std::string>(const std::vector<std::string>& patterns)> hash_files;
};

class Expression {
 public:
  struct Node;
  // Text between `${{` and `}}`, or a bare condition. The error says where in the text, counted from 1.
  static base::Result<Expression> parse(std::string_view text);
  base::Result<json::value> evaluate(const EvaluationContext& context) const;
  bool uses_status_function() const;
  // Names at the start of references, lower-case: "github", "secrets".
  std::set<std::string> contexts() const;

 private:
  std::shared_ptr<const Node> root_;
};

// The text with every `${{ … }}` replaced. Where the text is one expression and nothing else, its value as it is.
base::Result<json::value> evaluate_template(std::string_view text, const EvaluationContext& context);
base::Result<std::string> evaluate_text(std::string_view text, const EvaluationContext& context);
// Every string of a value, keys of objects as well.
base::Result<json::value> evaluate_all(const json::value& value, const EvaluationContext& context);
// An `if:`; empty is success(). success() is implied where no status function is used.
base::Result<bool> evaluate_condition(std::string_view text, const EvaluationContext& context);
// Parses without evaluating; the offset (in `text`) of the faulty expression goes to `at`.
base::Result<> check_template(std::string_view text, std::set<std::string>* contexts, std::size_t* at);

// As GitHub turns values into text and truth.
std::string to_text(const json::value& value);
bool truthy(const json::value& value);
bool loosely_equal(const json::value& a, const json::value& b);

}  // namespace mainstay::pipelines
