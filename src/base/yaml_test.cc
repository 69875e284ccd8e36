#include "base/yaml.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.h"

namespace mainstay::base {
namespace {

using ::testing::HasSubstr;

std::string parsed(std::string_view text) {
  const auto value = parse_yaml(text);
  return value ? to_json(*value) : value.error().message;
}

TEST(Yaml, FollowsTheCoreSchema) {
  const std::pair<std::string_view, std::string_view> kCases[] = {
      {"", "null"},
      {"a: 1\nb: [x, 'y', \"z\\n\"]\n", R"({"a":1,"b":["x","y","z\n"]})"},
      {"[~, null, Null, '', true, False, yes, on, no]", R"([null,null,null,"",true,false,"yes","on","no"])"},
      {"[0644, 0o17, 0x1F, -3, +4, 1_000, 12:30]", R"([644,15,31,-3,4,"1_000","12:30"])"},
      {"[1.5, .5, 1., 1e3, -2.5e-1]", R"([1.5E0,5E-1,1E0,1E3,-2.5E-1])"},
      {"[9223372036854775807, 18446744073709551615]", "[9223372036854775807,18446744073709551615]"},
      {"v: 1.2.3", R"({"v":"1.2.3"})"},
      {"d: 2006-01-02", R"({"d":"2006-01-02"})"},
      {"1: one\ntrue: t\n", R"({"1":"one","true":"t"})"},
      {"on:\n  push:\n", R"({"on":{"push":null}})"},
      {"t: |\n  a\n  b\nf: >-\n  a\n  b\n", R"({"t":"a\nb\n","f":"a b"})"},
      {"!!str 5", "\"5\""},
      {"[!!int '5', !!float 1, !!bool 'true', !!null '']", "[5,1E0,true,null]"},
      {"a: &x {b: 1}\nc: *x\n", R"({"a":{"b":1},"c":{"b":1}})"},
      {"base: &b {x: 1, y: 2}\nc:\n  <<: *b\n  y: 3\n", R"({"base":{"x":1,"y":2},"c":{"y":3,"x":1}})"},
      {"a: &a {x: 1}\nb: &b {x: 2, y: 2}\nc: {<<: [*a, *b]}\n", R"({"a":{"x":1},"b":{"x":2,"y":2},"c":{"x":1,"y":2}})"},
      {"a: &k name\n*k : 1\n", R"({"a":"name","name":1})"},
  };
  for (const auto& [text, expected] : kCases) EXPECT_EQ(parsed(text), expected) << text;
}

TEST(Yaml, ErrorsNameThePlace) {
  const std::pair<std::string_view, std::string_view> kCases[] = {
      {"a: 1\nb: 2\na: 3\n", "line 3, column 1: the key \"a\" is there twice"},
      {"a: !custom 1", "line 1, column 4: the tag !custom is not supported"},
      {"a: !!binary aGk=", "!!binary is not supported"},
      {"a: !!int x", "does not fit its tag"},
      {"a: .inf", "has no counterpart in JSON"},
      {"a: *b", "line 1, column 4"},
      {"a: &a [*a]", "not complete"},
      {"[a, b]: c", "a key must be a scalar"},
      {"a: [1, 2", "line 2, column 1: did not find"},
      {"a: 1\n---\nb: 2\n", "expected one document"},
      {"a: {<<: 5}", "<< needs a mapping"},
      {"\x01", "line 1"},
      {"a: 1e999", "out of range"},
  };
  for (const auto& [text, expected] : kCases) {
    const auto value = parse_yaml(text);
    ASSERT_FALSE(value.has_value()) << text;
    EXPECT_THAT(value.error().message, HasSubstr(std::string(expected))) << text;
    EXPECT_EQ(value.error().code, ErrorCode::kInvalid);
  }
}

TEST(Yaml, BoundsBytesDepthAndAliases) {
  EXPECT_EQ(parse_yaml(std::string(100, 'a'), {.max_bytes = 99}).error().code, ErrorCode::kTooLarge);
  std::string deep(65, '[');
  deep += std::string(65, ']');
  EXPECT_EQ(parse_yaml(deep).error().code, ErrorCode::kTooLarge);
  EXPECT_TRUE(parse_yaml(deep.substr(1, 128)).has_value());
  EXPECT_FALSE(parse_yaml(std::string(1'000'000, '[')).has_value());
  // The billion laughs: nine times nine times ...
  std::string bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 12; ++i) {
    bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [";
    for (int k = 0; k < 9; ++k) bomb += (k == 0 ? "*a" : ", *a") + std::to_string(i - 1);
    bomb += "]\n";
  }
  EXPECT_EQ(parse_yaml(bomb).error().code, ErrorCode::kTooLarge);
  // One large string many times.
  std::string wide = "a: &a " + std::string(100'000, 'x') + "\nb: [*a";
  for (int i = 0; i < 1000; ++i) wide += ", *a";
  EXPECT_EQ(parse_yaml(wide + "]").error().code, ErrorCode::kTooLarge);
  // Aliases that nest.
  std::string tower = "a0: &a0 [x]\n";
  for (int i = 1; i < 70; ++i) {
    tower += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [*a" + std::to_string(i - 1) + "]\n";
  }
  EXPECT_EQ(parse_yaml(tower).error().code, ErrorCode::kTooLarge);
  EXPECT_EQ(parse_yaml("[1, 2, 3, 4]", {.max_nodes = 4}).error().code, ErrorCode::kTooLarge);
}

TEST(Yaml, ReadsDocuments) {
  const auto documents = parse_yaml_documents("---\na: 1\n---\n# only a comment\n---\n- b\n...\n");
  ASSERT_TRUE(documents.has_value());
  ASSERT_EQ(documents->size(), 2u);
  EXPECT_EQ(to_json((*documents)[1]), "[\"b\"]");
  EXPECT_TRUE(parse_yaml_documents("")->empty());
}

TEST(Yaml, WritesWhatReadsBackTheSame) {
  const json::value value = *parse_json(R"({
    "apiVersion": "v1", "empty": {}, "none": [], "null": null, "n": -1.5, "b": false,
    "list": [1, "two", {"a": 1, "b": [["x"], []]}, [], {}],
    "strings": ["", " ", "yes", "0644", "1.0", "null", "- x", "a: b", "a #b", "#", "x:", "http://h:1/p", "it's", "\"q\"",
      "tab\t", "two\nlines", "two\nlines\n", "\nleading", "trailing\n\n", " indent\nx", "\u0000\u0007\u007f\u0085\u2028\ufeff", "é😀",
      "---", "...", "<<", "*a", "&a", "!t", "%d", "@x", "`x", "2006-01-02", "12:30:00", "~", "a\\b", "x\r\ny", "|", "> y"],
    "a.b/c": {"weird: key": 1, "": 2, "true": 3, "<<": {"m": 1}}
  })");
  const std::string text = to_yaml(value);
  const auto back = parse_yaml(text);
  ASSERT_TRUE(back.has_value()) << back.error().message << "\n" << text;
  EXPECT_EQ(*back, value) << text;
  EXPECT_THAT(text, HasSubstr("apiVersion: v1\n"));
  EXPECT_THAT(text, HasSubstr("- |-\n  two\n  lines\n"));
  EXPECT_THAT(text, HasSubstr("\"yes\""));
  EXPECT_THAT(text, HasSubstr("\"n\": -1.5\n"));
  for (const char* scalar : {"5", "5.0", "1e300", "\"x\"", "null", "[]", "{}", "\"a\\nb\""}) {
    EXPECT_EQ(*parse_yaml(to_yaml(*parse_json(scalar))), *parse_json(scalar));
  }
}

}  // namespace
}  // namespace mainstay::base
