#include <gtest/gtest.h>

#include "api/test_json.h"
#include "api/test_types.h"
#include "api/verbs.h"

namespace mainstay::api {
namespace {
namespace json = base::json;

struct Row {
  const char *name, *target, *patch, *expected;  // expected null: refused
};

void check(const Schema& schema, std::span<const Row> rows) {
  for (const Row& row : rows) {
    json::value target = js(row.target);
    const auto done = apply_strategic_patch(schema, target, js(row.patch));
    ASSERT_EQ(done.has_value(), row.expected != nullptr) << row.name << ": " << (done ? "" : done.error().message);
    if (row.expected) {
      EXPECT_EQ(json::serialize(target), json::serialize(js(row.expected))) << row.name;
    }
  }
}

TEST(Strategic, PodSpec) {
  const Row kRows[] = {
      {"merges by key", "{'containers':[{'name':'a','image':'1'},{'name':'b','image':'1'}]}",
       "{'containers':[{'name':'b','image':'2'}]}",
       "{'containers':[{'name':'a','image':'1'},{'name':'b','image':'2'}]}"},
      {"appends what is new", "{'containers':[{'name':'a'}]}",
       "{'containers':[{'name':'b','env':[{'name':'x','$patch':'delete'}]}]}",
       "{'containers':[{'name':'a'},{'name':'b','env':[]}]}"},
      {"deletes by key", "{'containers':[{'name':'a'},{'name':'b'}]}",
       "{'containers':[{'name':'a','$patch':'delete'}]}", "{'containers':[{'name':'b'}]}"},
      {"replaces a list", "{'containers':[{'name':'a'},{'name':'b'}]}",
       "{'containers':[{'$patch':'replace'},{'name':'c'}]}", "{'containers':[{'name':'c'}]}"},
      {"replaces atomic lists", "{'tolerations':[{'key':'a'}]}", "{'tolerations':[{'key':'b'}]}",
       "{'tolerations':[{'key':'b'}]}"},
      {"removes by null", "{'hostname':'h','nodeName':'n'}", "{'hostname':null}", "{'nodeName':'n'}"},
      {"retains keys", "{'volumes':[{'name':'v','emptyDir':{}}]}",
       "{'volumes':[{'name':'v','$retainKeys':['name','hostPath'],'hostPath':{'path':'/x'}}]}",
       "{'volumes':[{'name':'v','hostPath':{'path':'/x'}}]}"},
      {"orders", "{'containers':[{'name':'a'},{'name':'b'},{'name':'c'}]}",
       "{'$setElementOrder/containers':[{'name':'c'},{'name':'a'}],'containers':[{'name':'c','image':'1'}]}",
       "{'containers':[{'name':'b'},{'name':'c','image':'1'},{'name':'a'}]}"},
      {"keeps others where they stood", "{'containers':[{'name':'s'},{'name':'a'}]}",
       "{'$setElementOrder/containers':[{'name':'a'},{'name':'n'}],'containers':[{'name':'n'}]}",
       "{'containers':[{'name':'s'},{'name':'a'},{'name':'n'}]}"},
      {"orders without other changes", "{'containers':[{'name':'a'},{'name':'b'}]}",
       "{'$setElementOrder/containers':[{'name':'b'},{'name':'a'}]}", "{'containers':[{'name':'b'},{'name':'a'}]}"},
      {"replaces an object", "{'securityContext':{'runAsUser':1,'fsGroup':2}}",
       "{'securityContext':{'$patch':'replace','runAsUser':3}}", "{'securityContext':{'runAsUser':3}}"},
      {"empties an object", "{'securityContext':{'runAsUser':1}}", "{'securityContext':{'$patch':'delete'}}",
       "{'securityContext':{}}"},
      {"merges maps key by key", "{'nodeSelector':{'a':'1','b':'2'}}", "{'nodeSelector':{'a':null,'c':'3'}}",
       "{'nodeSelector':{'b':'2','c':'3'}}"},
      {"refuses items without their key", "{'containers':[{'name':'a'}]}", "{'containers':[{'image':'1'}]}", nullptr},
      {"refuses unknown directives", "{'securityContext':{'runAsUser':1}}", "{'securityContext':{'$patch':'twist'}}",
       nullptr},
      {"refuses a list of no names", "{'a':1}", "{'$retainKeys':'a'}", nullptr},
  };
  check(*builtin("", "pods").schema->member("spec"), kRows);
}

TEST(Strategic, PrimitiveLists) {
  const Row kRows[] = {
      {"adds once", "{'finalizers':['a','b']}", "{'finalizers':['b','c']}", "{'finalizers':['a','b','c']}"},
      {"deletes", "{'finalizers':['a','b']}", "{'$deleteFromPrimitiveList/finalizers':['a']}", "{'finalizers':['b']}"},
      {"deletes and adds in order", "{'finalizers':['a','b']}",
       "{'$deleteFromPrimitiveList/finalizers':['a'],'$setElementOrder/finalizers':['c','b'],'finalizers':['c']}",
       "{'finalizers':['c','b']}"},
      {"makes what is missing", "{}", "{'labels':{'a':'b','c':null},'finalizers':['a']}",
       "{'labels':{'a':'b'},'finalizers':['a']}"},
  };
  check(*builtin("", "pods").schema->member("metadata"), kRows);
}

TEST(Strategic, LongListsDoNotTakeMinutes) {
  json::array items, named;
  for (int i = 0; i < 20'000; ++i) {
    items.push_back(json::value("f" + std::to_string(i)));
    named.push_back(json::object{{"name", "c" + std::to_string(i)}});
  }
  const Schema& pod = *builtin("", "pods").schema;
  const json::value some = js("{'finalizers':['a']}"), many = json::object{{"finalizers", items}},
                    one = js("{'containers':[{'name':'a'}]}"), all = json::object{{"containers", named}};
  const struct {
    const char* part;
    const json::value& target;
    json::value patch;
  } kRows[] = {
      {"metadata", some, many},
      {"spec", one, all},
      {"metadata", many, json::object{{"$deleteFromPrimitiveList/finalizers", items}}},
      {"metadata", many, json::object{{"$setElementOrder/finalizers", json::array(items.rbegin(), items.rend())}}}};
  for (const auto& row : kRows) {
    json::value target = row.target;
    const auto done = apply_strategic_patch(*pod.member(row.part), target, row.patch);
    ASSERT_FALSE(done) << row.part;
    EXPECT_EQ(done.error().code, base::ErrorCode::kTooLarge) << row.part;
  }
  json::value target = js("{}");
  EXPECT_TRUE(apply_strategic_patch(*pod.member("spec"), target, all));
}

TEST(Strategic, MustBeAnObject) {
  json::value target = js("{}");
  EXPECT_FALSE(apply_strategic_patch(*builtin("", "pods").schema, target, js("[1]")));
}

}  // namespace
}  // namespace mainstay::api
