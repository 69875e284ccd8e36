#include "base/json.h"

#include <gtest/gtest.h>

namespace mainstay::base {
namespace {

json::value pod() {
  return *parse_json(R"({"metadata":{"name":"p","labels":{"app.kubernetes.io/name":"web"},"annotations":{"a":"b"}},
    "spec":{"replicas":3,"ratio":2.0,"half":0.5,"paused":true,"list":[1],"none":null}})");
}

TEST(Json, FindsByPath) {
  json::value value = pod();
  EXPECT_EQ(get_string(value, "metadata.name"), "p");
  EXPECT_EQ(get_string(value, "metadata.missing", "x"), "x");
  EXPECT_EQ(get_string(value, "metadata.name.deeper", "x"), "x");
  EXPECT_EQ(get_string(value, "spec.replicas", "x"), "x");
  EXPECT_EQ(get_int(value, "spec.replicas"), 3);
  EXPECT_EQ(get_int(value, "spec.ratio"), 2);
  EXPECT_EQ(get_int(value, "spec.half", 7), 7);
  EXPECT_TRUE(get_bool(value, "spec.paused"));
  EXPECT_EQ(get_array(value, "spec.list").size(), 1u);
  EXPECT_TRUE(get_array(value, "spec.none").empty());
  EXPECT_TRUE(get_object(value, "spec.list").empty());
  EXPECT_EQ(label(value, "app.kubernetes.io/name"), "web");
  EXPECT_EQ(label(value, "none"), "");
  EXPECT_EQ(annotation(value, "a"), "b");
  EXPECT_NE(find(value, {"metadata", "labels", "app.kubernetes.io/name"}), nullptr);
  EXPECT_NE(find(value, {"metadata"}), nullptr);
  EXPECT_EQ(find(value, {"spec", "list", "0"}), nullptr);
}

TEST(Json, SetsAndErases) {
  json::value value;
  set(value, "a.b.c", 1);
  set(value, {"a", "x.y/z"}, "dots");
  set(value, "a.b", "replaced");
  set(value, "a.b.d", true);
  EXPECT_EQ(to_json(value), R"({"a":{"b":{"d":true},"x.y/z":"dots"}})");
  EXPECT_TRUE(erase(value, "a.b.d"));
  EXPECT_FALSE(erase(value, "a.b.d"));
  EXPECT_FALSE(erase(value, "none.at.all"));
  EXPECT_TRUE(erase(value, "a"));
  EXPECT_EQ(to_json(value), "{}");
}

TEST(Json, ParsesWithBounds) {
  EXPECT_TRUE(parse_json(" {\"a\":[1,2]} \n").has_value());
  for (std::string_view bad :
       {"", " ", "{", "{} {}", "{}x", "[1,]", "{\"a\"}", "nul", "\"\xff\"", "01", "1e999", "[{\"a\":-1e400}]"}) {
    const auto value = parse_json(bad);
    EXPECT_FALSE(value.has_value()) << bad;
    if (!value) EXPECT_EQ(value.error().code, ErrorCode::kInvalid);
  }
  EXPECT_TRUE(parse_json(std::string(64, '[') + std::string(64, ']')).has_value());
  EXPECT_FALSE(parse_json(std::string(65, '[') + std::string(65, ']')).has_value());
  EXPECT_FALSE(parse_json(std::string(1'000'000, '[')).has_value());
}

TEST(Json, AppliesMergePatches) {
  // RFC 7386 appendix A.
  const struct {
    std::string_view target, patch, result;
  } kCases[] = {
      {R"({"a":"b"})", R"({"a":"c"})", R"({"a":"c"})"},
      {R"({"a":"b"})", R"({"b":"c"})", R"({"a":"b","b":"c"})"},
      {R"({"a":"b"})", R"({"a":null})", "{}"},
      {R"({"a":"b","b":"c"})", R"({"a":null})", R"({"b":"c"})"},
      {R"({"a":["b"]})", R"({"a":"c"})", R"({"a":"c"})"},
      {R"({"a":"c"})", R"({"a":["b"]})", R"({"a":["b"]})"},
      {R"({"a":{"b":"c"}})", R"({"a":{"b":"d","c":null}})", R"({"a":{"b":"d"}})"},
      {R"({"a":[{"b":"c"}]})", R"({"a":[1]})", R"({"a":[1]})"},
      {R"(["a","b"])", R"(["c","d"])", R"(["c","d"])"},
      {R"({"a":"b"})", R"(["c"])", R"(["c"])"},
      {R"({"a":"foo"})", "null", "null"},
      {R"({"e":null})", R"({"a":1})", R"({"e":null,"a":1})"},
      {R"([1,2])", R"({"a":"b","c":null})", R"({"a":"b"})"},
      {"{}", R"({"a":{"bb":{"ccc":null}}})", R"({"a":{"bb":{}}})"},
  };
  for (const auto& c : kCases) {
    json::value target = *parse_json(c.target);
    apply_merge_patch(target, *parse_json(c.patch));
    EXPECT_EQ(target, *parse_json(c.result)) << c.target << " + " << c.patch << " = " << to_json(target);
  }
}

TEST(Json, DiffsAreSmallestMergePatches) {
  const struct {
    std::string_view from, to, patch;
  } kCases[] = {
      {"{}", "{}", "{}"},
      {R"({"a":1,"b":2})", R"({"b":3,"c":4})", R"({"a":null,"b":3,"c":4})"},
      {R"({"a":{"b":1,"c":2}})", R"({"a":{"b":1}})", R"({"a":{"c":null}})"},
      {R"({"a":[1,2]})", R"({"a":[1]})", R"({"a":[1]})"},
      {R"({"a":1})", R"({"a":{"b":{}}})", R"({"a":{"b":{}}})"},
      {"[1]", "[2]", "[2]"},
      {R"({"a":{}})", R"({"a":{}})", "{}"},
  };
  for (const auto& c : kCases) {
    const json::value from = *parse_json(c.from), to = *parse_json(c.to);
    const json::value patch = merge_diff(from, to);
    EXPECT_EQ(patch, *parse_json(c.patch)) << c.from << " -> " << c.to << ": " << to_json(patch);
    json::value applied = from;
    apply_merge_patch(applied, patch);
    EXPECT_EQ(applied, to);
  }
}

}  // namespace
}  // namespace mainstay::base
