#include "capabilities/pipelines/expression.h"

#include <gtest/gtest.h>

namespace mainstay::pipelines {
namespace {

EvaluationContext example() {
  EvaluationContext context;
  context.values = boost::json::parse(R"({
    "github": {"ref": "refs/heads/main", "event": {"commits": [{"message": "One"}, {"message": "two"}]}},
    "env": {"NAME": "Ann", "EMPTY": ""},
    "matrix": {"os": "linux", "n": 3},
    "steps": {"a": {"outputs": {"x": "1"}, "conclusion": "success"}},
    "needs": {"b": {"result": "success"}},
    "secrets": {"KEY": "k"}
  })")
                       .as_object();
  context.hash_files = [](const std::vector<std::string>& patterns) {
    return base::Result<std::string>(patterns[0] + "!");
  };
  return context;
}

struct Case {
  const char* expression;
  const char* expected;  // as text
};

void expect_all(std::span<const Case> cases) {
  for (const Case& c : cases) {
    auto parsed = Expression::parse(c.expression);
    ASSERT_TRUE(parsed) << c.expression << ": " << parsed.error().message;
    auto value = parsed->evaluate(example());
    ASSERT_TRUE(value) << c.expression << ": " << value.error().message;
    EXPECT_EQ(to_text(*value), c.expected) << c.expression;
  }
}

TEST(Expression, Values) {
  const Case cases[] = {
      {"1", "1"},
      {"-1.5", "-1.5"},
      {"0xff", "255"},
      {"1e3", "1000"},
      {"'it''s'", "it's"},
      {"null", ""},
      {"true", "true"},
      // Falsy and truthy, operands as results.
      {"'' || 'x'", "x"},
      {"'a' && 'b'", "b"},
      {"0 || null", ""},
      {"!0", "true"},
      {"!'a'", "false"},
      {"!!'0'", "true"},
      {"github.nope || 'default'", "default"},
      {"true && 'yes' || 'no'", "yes"},
      {"false && 'yes' || 'no'", "no"},
      // Loose equality: numbers from text, booleans and null; text without case.
      {"'ABC' == 'abc'", "true"},
      {"1 == '1'", "true"},
      {"true == 1", "true"},
      {"null == 0", "true"},
      {"null == ''", "true"},
      {"'x' == 0", "false"},
      {"'' == 0", "true"},
      {"'a' != 'b'", "true"},
      {"NaN == NaN", "false"},
      {"'0x10' == 16", "true"},
      {"1 < 2", "true"},
      {"'b' > 'A'", "true"},
      {"2 <= 2", "true"},
      {"'a' < 1", "false"},
      {"'10' > 9", "true"},
      {"1 < 2 == true", "true"},
      {"(1 > 2) || 3 >= 3", "true"},
      // References.
      {"github.ref", "refs/heads/main"},
      {"GITHUB.Ref", "refs/heads/main"},
      {"github['ref']", "refs/heads/main"},
      {"github.event.commits[1].message", "two"},
      {"github.event.commits[5].message", ""},
      {"github.event.commits.*.message", "Array"},
      {"join(github.event.commits.*.message, '+')", "One+two"},
      {"env.NAME", "Ann"},
      {"steps.a.outputs.x", "1"},
      {"matrix.n == 3", "true"},
      {"needs.*.result", "Array"},
      {"contains(needs.*.result, 'success')", "true"},
      {"github", "Object"},
      {"secrets.KEY", "k"},
      {"github.ref.x.y", ""},
  };
  expect_all(cases);
}

TEST(Expression, Functions) {
  const Case cases[] = {
      {"contains('Hello world', 'WORLD')", "true"},
      {"contains(fromJSON('[1, 2]'), '2')", "true"},
      {"contains(null, 'x')", "false"},
      {"startsWith('Hello', 'he')", "true"},
      {"endsWith('Hello', 'LO')", "true"},
      {"format('{1}-{0} {{x}}', 'a', 2)", "2-a {x}"},
      {"join('one')", "one"},
      {"fromJSON('{\"a\": [1, {\"b\": true}]}').a[1].b", "true"},
      {"toJSON(fromJSON('{\"a\":1}'))", "{\n  \"a\": 1\n}"},
      {"toJSON('x')", "\"x\""},
      {"hashFiles('**/go.sum')", "**/go.sum!"},
      {"toJSON(null)", "null"},
      {"success()", "true"},
      {"always()", "true"},
      {"failure() || cancelled()", "false"},
  };
  expect_all(cases);
}

TEST(Expression, FaultsNameTheirPlace) {
  for (const char* bad : {"", "1 +", "github.", "github[1", "foo.bar", "nope()", "contains('a')", "'open", "\"double\"",
                          "1 2", "(1", "a-b", "github..ref", "&&", "!"})
    EXPECT_FALSE(Expression::parse(bad)) << bad;
  EXPECT_TRUE(Expression::parse("github.nothing( ").error().message.contains("position"));
  EXPECT_TRUE(Expression::parse("always(1)").error().message.contains("takes 0"));
  EXPECT_FALSE(Expression::parse(std::string(100, '(') + "1" + std::string(100, ')')));
  EXPECT_FALSE(Expression::parse(std::string(100, '!') + "1"));
  EXPECT_FALSE(Expression::parse(std::string(30000, ' ') + "1"));
  for (const char* bad : {"fromJSON('{')", "format('{0} {1}', 1)", "format('{')"}) {
    auto parsed = Expression::parse(bad);
    ASSERT_TRUE(parsed) << bad;
    EXPECT_FALSE(parsed->evaluate(example())) << bad;
  }
}

TEST(Expression, ResultsAreBounded) {
  std::string text = "'" + std::string(20000, 'x') + "'";
  std::string nested = "format('{0}{0}{0}{0}{0}{0}{0}{0}{0}{0}', " + text + ")";
  for (int i = 0; i < 2; ++i) nested = "format('{0}{0}{0}{0}{0}{0}{0}{0}{0}{0}', " + nested + ")";
  auto parsed = Expression::parse(nested);
  ASSERT_TRUE(parsed);
  EXPECT_FALSE(parsed->evaluate(example()));
}

TEST(Templates, AreReplaced) {
  const auto context = example();
  EXPECT_EQ(evaluate_text("no expression", context).value(), "no expression");
  EXPECT_EQ(evaluate_text("Hi ${{ env.NAME }}, ${{ matrix.n }}!", context).value(), "Hi Ann, 3!");
  EXPECT_EQ(evaluate_text("${{ '}}' }}x", context).value(), "}}x");
  EXPECT_TRUE(evaluate_template("${{ fromJSON('[1]') }}", context).value().is_array());
  EXPECT_FALSE(evaluate_text("${{ env.NAME", context));
  EXPECT_TRUE(check_template("a ${{ env.X }}", nullptr, nullptr));
  EXPECT_FALSE(check_template("a ${{ nope.X }}", nullptr, nullptr));
}

TEST(Conditions, ImplySuccess) {
  auto context = example();
  EXPECT_TRUE(evaluate_condition("", context).value());
  EXPECT_TRUE(evaluate_condition("github.ref == 'refs/heads/main'", context).value());
  EXPECT_TRUE(evaluate_condition("${{ env.NAME == 'ann' }}", context).value());
  context.standing = Standing::kFailure;
  EXPECT_FALSE(evaluate_condition("", context).value());
  EXPECT_FALSE(evaluate_condition("true", context).value());
  EXPECT_TRUE(evaluate_condition("always()", context).value());
  EXPECT_TRUE(evaluate_condition("failure() && env.NAME == 'Ann'", context).value());
  context.standing = Standing::kSkipped;
  EXPECT_FALSE(evaluate_condition("success()", context).value());
  EXPECT_FALSE(evaluate_condition("failure()", context).value());
}

}  // namespace
}  // namespace mainstay::pipelines
