#include "api/field_set.h"

#include <gtest/gtest.h>

#include "api/test_json.h"
#include "api/test_types.h"

namespace mainstay::api {
namespace {
namespace json = base::json;

const char* const kPod =
    "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'a','uid':'1','labels':{'app':'x'},'finalizers':['f/a'],"
    "'annotations':{}},'spec':{'containers':[{'name':'c','image':'i','ports':[{'containerPort':80}]}],'tolerations':[{'"
    "key':'k'}]}}";

TEST(FieldSet, OfAnObject) {
  const FieldSet set = fields_of(*builtin("", "pods").schema, js(kPod));
  const json::value expected = base::parse_json(R"({
    "f:metadata": {"f:annotations": {}, "f:finalizers": {"v:\"f/a\"": {}}, "f:labels": {"f:app": {}}},
    "f:spec": {"f:containers": {"k:{\"name\":\"c\"}": {
        ".": {}, "f:image": {}, "f:name": {},
        "f:ports": {"k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}}}}},
      "f:tolerations": {}}})")
                                   .value();
  EXPECT_EQ(json::value(set.to_json()), expected) << json::serialize(set.to_json());
}

TEST(FieldSet, ReadsWhatItWrites) {
  const FieldSet set = fields_of(*builtin("", "pods").schema, js(kPod));
  EXPECT_EQ(FieldSet::from_json(set.to_json()), set);
  EXPECT_TRUE(FieldSet::from_json(js("{}")).empty());
  EXPECT_TRUE(FieldSet::from_json(js("{'nonsense':{},'.':{}}")).children.empty());
}

TEST(FieldSet, Algebra) {
  const FieldSet a = FieldSet::from_json(js("{'f:x':{'f:a':{},'f:b':{}},'f:y':{}}"));
  const FieldSet b = FieldSet::from_json(js("{'f:x':{'f:b':{},'f:c':{}}}"));
  FieldSet sum = a;
  sum.add_all(b);
  EXPECT_EQ(sum.paths(), (std::vector<std::string>{".x.a", ".x.b", ".x.c", ".y"}));
  EXPECT_EQ(a.common_with(b).paths(), std::vector<std::string>{".x.b"});
  FieldSet rest = a;
  rest.remove_all(b);
  EXPECT_EQ(rest.paths(), (std::vector<std::string>{".x.a", ".y"}));
  rest.remove_all(a);
  EXPECT_TRUE(rest.empty());
}

TEST(FieldSet, PathsPrintKeysAndValues) {
  const FieldSet set = fields_of(*builtin("", "pods").schema, js(kPod));
  const auto paths = set.paths();
  EXPECT_NE(std::ranges::find(paths, ".spec.containers[name=\"c\"].image"), paths.end());
  EXPECT_NE(std::ranges::find(paths, ".metadata.finalizers[=\"f/a\"]"), paths.end());
}

TEST(FieldSet, Changes) {
  const Schema& schema = *builtin("", "pods").schema;
  const json::value before = js(kPod);
  json::value after = before;
  base::set(after, "spec.containers", js("[{'name':'c','image':'j'},{'name':'d'}]"));
  base::set(after, "metadata.uid", "2");
  base::set(after, "metadata.labels", js("{'app':'x','tier':'1'}"));
  const FieldChanges changes = changes_between(schema, &before, after);
  EXPECT_EQ(changes.set.paths(),
            (std::vector<std::string>{".metadata.labels.tier", ".spec.containers[name=\"c\"].image",
                                      ".spec.containers[name=\"d\"]", ".spec.containers[name=\"d\"].name"}));
  EXPECT_EQ(
      changes.removed.paths(),
      (std::vector<std::string>{
          ".spec.containers[name=\"c\"].ports", ".spec.containers[name=\"c\"].ports[containerPort=80,protocol=\"TCP\"]",
          ".spec.containers[name=\"c\"].ports[containerPort=80,protocol=\"TCP\"].containerPort"}));
}

}  // namespace
}  // namespace mainstay::api
