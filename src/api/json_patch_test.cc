// RFC 6902: the examples of its appendix A, and our bounds.
#include <gtest/gtest.h>

#include "api/test_json.h"
#include "api/verbs.h"

namespace mainstay::api {
namespace {
namespace json = base::json;

TEST(JsonPatch, AppendixA) {
  const struct {
    const char *document, *patch, *expected;  // null: refused
  } kRows[] = {
      {"{'foo':'bar'}", "[{'op':'add','path':'/baz','value':'qux'}]", "{'foo':'bar','baz':'qux'}"},
      {"{'foo':['bar','baz']}", "[{'op':'add','path':'/foo/1','value':'qux'}]", "{'foo':['bar','qux','baz']}"},
      {"{'baz':'qux','foo':'bar'}", "[{'op':'remove','path':'/baz'}]", "{'foo':'bar'}"},
      {"{'foo':['bar','qux','baz']}", "[{'op':'remove','path':'/foo/1'}]", "{'foo':['bar','baz']}"},
      {"{'baz':'qux','foo':'bar'}", "[{'op':'replace','path':'/baz','value':'boo'}]", "{'baz':'boo','foo':'bar'}"},
      {"{'foo':{'bar':'baz','waldo':'fred'},'qux':{'corge':'grault'}}",
       "[{'op':'move','from':'/foo/waldo','path':'/qux/thud'}]",
       "{'foo':{'bar':'baz'},'qux':{'corge':'grault','thud':'fred'}}"},
      {"{'foo':['all','grass','cows','eat']}", "[{'op':'move','from':'/foo/1','path':'/foo/3'}]",
       "{'foo':['all','cows','eat','grass']}"},
      {"{'baz':'qux','foo':['a',2,'c']}",
       "[{'op':'test','path':'/baz','value':'qux'},{'op':'test','path':'/foo/1','value':2}]",
       "{'baz':'qux','foo':['a',2,'c']}"},
      {"{'baz':'qux'}", "[{'op':'test','path':'/baz','value':'bar'}]", nullptr},
      {"{'foo':'bar'}", "[{'op':'add','path':'/child','value':{'grandchild':{}}}]",
       "{'foo':'bar','child':{'grandchild':{}}}"},
      {"{'foo':'bar'}", "[{'op':'add','path':'/baz','value':'qux','xyz':123}]", "{'foo':'bar','baz':'qux'}"},
      {"{'foo':'bar'}", "[{'op':'add','path':'/baz/bat','value':'qux'}]", nullptr},
      {"{'/':9,'~1':10}", "[{'op':'test','path':'/~01','value':10}]", "{'/':9,'~1':10}"},
      {"{'/':9,'~1':10}", "[{'op':'test','path':'/~01','value':'10'}]", nullptr},
      {"{'foo':['bar']}", "[{'op':'add','path':'/foo/-','value':['abc','def']}]", "{'foo':['bar',['abc','def']]}"},
      // Beyond the appendix.
      {"{'a':1}", "[{'op':'add','path':'','value':{'b':2}}]", "{'b':2}"},
      {"{'a':1}", "[{'op':'remove','path':''}]", nullptr},
      {"{'a':[1]}", "[{'op':'add','path':'/a/2','value':2}]", nullptr},
      {"{'a':[1]}", "[{'op':'remove','path':'/a/-'}]", nullptr},
      {"{'a':[1,2]}", "[{'op':'replace','path':'/a/01','value':2}]", nullptr},
      {"{'a':[1,2]}", "[{'op':'replace','path':'/a/-1','value':2}]", nullptr},
      {"{'a':{'b':1}}", "[{'op':'move','from':'/a','path':'/a/b'}]", nullptr},
      {"{'a':1}", "[{'op':'copy','from':'/a','path':'/b'},{'op':'remove','path':'/a'}]", "{'b':1}"},
      {"{'a':1}", "[{'op':'twist','path':'/a'}]", nullptr},
      {"{'a':1}", "[{'op':'add','path':'a','value':1}]", nullptr},
      {"{'a':1}", "[{'op':'add','path':'/~2','value':1}]", nullptr},
      {"{'a':1}", "[{'op':'add','path':'/b'}]", nullptr},
      {"{'a':1}", "[7]", nullptr},
  };
  for (const auto& row : kRows) {
    json::value document = js(row.document);
    const auto done = apply_json_patch(document, js(row.patch));
    EXPECT_EQ(done.has_value(), row.expected != nullptr) << row.patch;
    if (row.expected && done) {
      EXPECT_EQ(document, js(row.expected)) << row.patch;
    }
  }
}

TEST(JsonPatch, IsBounded) {
  json::value document = js("{'a':[]}");
  json::array doubling{js("{'op':'add','path':'/a/-','value':[0,0,0,0,0,0,0,0]}")};
  for (int i = 0; i < 60; ++i) doubling.push_back(js("{'op':'copy','from':'/a','path':'/a/-'}"));
  const auto done = apply_json_patch(document, doubling);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, base::ErrorCode::kTooLarge);

  document = js("{}");
  json::array many(20'000, js("{'op':'add','path':'/a','value':1}"));
  EXPECT_FALSE(apply_json_patch(document, many));
}

TEST(JsonPatch, FewLongTextsAreBoundedAsManyShortOnes) {
  json::value document = json::object{{"a", std::string(1u << 20, 'x')}};
  json::array patch;
  for (int i = 0; i < 100; ++i)
    patch.push_back(json::object{{"op", "copy"}, {"from", "/a"}, {"path", "/b" + std::to_string(i)}});
  const auto done = apply_json_patch(document, patch);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, base::ErrorCode::kTooLarge);
}

TEST(JsonPatch, ALongListIsNotShiftedWithoutEnd) {
  const json::value long_list = json::object{{"a", json::array(100'000, json::value(0))}};
  for (const char* operation : {"{'op':'add','path':'/a/0','value':0}", "{'op':'remove','path':'/a/0'}",
                                "{'op':'move','from':'/a','path':'/a'}"}) {
    json::value document = long_list;
    const auto done = apply_json_patch(document, json::array(5'000, js(operation)));
    ASSERT_FALSE(done) << operation;
    EXPECT_EQ(done.error().code, base::ErrorCode::kTooLarge) << operation;
  }
  json::value document = long_list;
  EXPECT_TRUE(apply_json_patch(document, json::array(5'000, js("{'op':'add','path':'/a/-','value':0}"))));
}

TEST(JsonPatch, CannotNestWithoutEnd) {
  // Each round hangs the chain so far below a new one.
  json::value document = js("{}");
  std::string chain, path;
  for (int i = 0; i < 40; ++i) {
    chain += "{'a':";
    path += "/a";
  }
  const json::value fresh = js(chain + "{}" + std::string(40, '}'));
  json::array patch{json::object{{"op", "add"}, {"path", "/x"}, {"value", fresh}}};
  for (int i = 0; i < 100; ++i) {
    patch.push_back(json::object{{"op", "add"}, {"path", "/y"}, {"value", fresh}});
    patch.push_back(json::object{{"op", "move"}, {"from", "/x"}, {"path", "/y" + path + "/a"}});
    patch.push_back(json::object{{"op", "move"}, {"from", "/y"}, {"path", "/x"}});
  }
  const auto done = apply_json_patch(document, patch);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, base::ErrorCode::kTooLarge);
}

TEST(JsonPatch, ErrorsNameTheOperation) {
  json::value document = js("{'a':1}");
  const auto done =
      apply_json_patch(document, js("[{'op':'test','path':'/a','value':1},{'op':'remove','path':'/b/c'}]"));
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().message, "operation 1 of the JSON patch (path \"/b/c\"): there is no member \"b\"");
}

}  // namespace
}  // namespace mainstay::api
