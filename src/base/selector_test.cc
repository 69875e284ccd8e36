#include "base/selector.h"

#include <gtest/gtest.h>

#include "base/json.h"

namespace mainstay::base {
namespace {

TEST(LabelSelector, Matches) {
  const json::object labels{{"app", "web"}, {"tier", "front"}, {"count", "5"}, {"empty", ""}};
  const struct {
    std::string_view text;
    bool matches;
    std::string_view canonical;
  } kCases[] = {
      {"", true, ""},
      {"app=web", true, "app=web"},
      {"app==web", true, "app=web"},
      {" app = web , tier=front ", true, "app=web,tier=front"},
      {"app=db", false, "app=db"},
      {"app!=db", true, "app!=db"},
      {"app!=web", false, "app!=web"},
      {"other!=x", true, "other!=x"},
      {"app in (web, db)", true, "app in (web,db)"},
      {"app in (db)", false, "app=db"},
      {"app notin (db,x)", true, "app notin (db,x)"},
      {"other notin (db)", true, "other!=db"},
      {"app", true, "app"},
      {"other", false, "other"},
      {"!other", true, "!other"},
      {"! app", false, "!app"},
      {"count>4", true, "count>4"},
      {"count<5", false, "count<5"},
      {"app>4", false, "app>4"},
      {"empty=", true, "empty="},
      {"app in (web),tier in (front,back),!gone", true, "app=web,tier in (front,back),!gone"},
      {"example.com/role=x", false, "example.com/role=x"},
  };
  for (const auto& c : kCases) {
    const auto selector = LabelSelector::parse(c.text);
    ASSERT_TRUE(selector.has_value()) << c.text << ": " << selector.error().message;
    EXPECT_EQ(selector->matches(labels), c.matches) << c.text;
    EXPECT_EQ(selector->to_string(), c.canonical);
  }
  EXPECT_TRUE(LabelSelector::parse("")->empty());
  EXPECT_TRUE(LabelSelector::parse("app=web")->matches_object(json::object{{"metadata", {{"labels", labels}}}}));
  EXPECT_FALSE(LabelSelector::parse("app=web")->matches_object(json::object{}));
}

TEST(LabelSelector, RefusesNonsense) {
  for (std::string_view text : {",", "a=b,", "=x", "a=b=c", "a b", "a in x", "a in (x", "a in x)", "a~b", "!", "a>x",
                                "a=b c", "-a=b", "a/b/c=d", "a=-", "UPPER_/x=1"}) {
    EXPECT_FALSE(LabelSelector::parse(text).has_value()) << text;
  }
}

TEST(LabelSelector, ReadsObjects) {
  const json::object labels{{"app", "web"}, {"zone", "a"}};
  const struct {
    std::string_view text;
    int matches;  // -1: refused
  } kCases[] = {
      {"null", 0},
      {"{}", 1},
      {R"({"matchLabels":{"app":"web"}})", 1},
      {R"({"matchLabels":{"app":"db"}})", 0},
      {R"({"matchExpressions":[{"key":"zone","operator":"In","values":["a","b"]}]})", 1},
      {R"({"matchExpressions":[{"key":"zone","operator":"NotIn","values":["a"]}]})", 0},
      {R"({"matchExpressions":[{"key":"gone","operator":"DoesNotExist"}]})", 1},
      {R"({"matchLabels":{"app":"web"},"matchExpressions":[{"key":"gone","operator":"Exists"}]})", 0},
      {R"({"matchExpressions":[{"key":"zone","operator":"In"}]})", -1},
      {R"({"matchExpressions":[{"key":"zone","operator":"Exists","values":["a"]}]})", -1},
      {R"({"matchExpressions":[{"key":"zone","operator":"Like","values":["a"]}]})", -1},
      {R"({"matchExpressions":[{"operator":"Exists"}]})", -1},
      {R"({"matchLabels":{"app":5}})", -1},
      {"[]", -1},
  };
  for (const auto& c : kCases) {
    const auto selector = LabelSelector::from_json(*parse_json(c.text));
    EXPECT_EQ(selector ? static_cast<int>(selector->matches(labels)) : -1, c.matches) << c.text;
  }
}

TEST(FieldSelector, Matches) {
  const json::value object = *parse_json(
      R"({"metadata":{"name":"x","namespace":"n"},"status":{"phase":"Running","ready":true,"count":3,"odd":"a,b=c\\"}})");
  const struct {
    std::string_view text;
    int matches;
  } kCases[] = {
      {"", 1},
      {"metadata.name=x", 1},
      {"metadata.name==x,status.phase!=Pending", 1},
      {"metadata.name!=x", 0},
      {"status.ready=true", 1},
      {"status.count=3", 1},
      {"spec.nodeName=", 1},
      {"spec.nodeName!=", 0},
      {R"(status.odd=a\,b\=c\\)", 1},
      {"metadata.name", -1},
      {"=x", -1},
      {"a=b,,c=d", -1},
      {"a=b=c", -1},
      {R"(a=b\c)", -1},
      {R"(a=b\)", -1},
      {"a!b", -1},
  };
  for (const auto& c : kCases) {
    const auto selector = FieldSelector::parse(c.text);
    EXPECT_EQ(selector ? static_cast<int>(selector->matches(object)) : -1, c.matches) << c.text;
  }
  const auto selector = FieldSelector::parse("metadata.name=x,status.phase!=Running");
  EXPECT_EQ(selector->required("metadata.name"), "x");
  EXPECT_EQ(selector->required("status.phase"), "");
  EXPECT_EQ(selector->paths(), (std::vector<std::string>{"metadata.name", "status.phase"}));
}

}  // namespace
}  // namespace mainstay::base
