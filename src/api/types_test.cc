#include "api/types.h"

#include <gtest/gtest.h>

#include "api/test_types.h"

namespace mainstay::api {
namespace {

// What reading these files says is wrong; "" where nothing is.
std::string error_of(std::vector<base::EmbeddedFile> files) {
  TypeRegistry types;
  auto done = types.add_files(files);
  if (done) done = types.resolve();
  return done ? "" : done.error().message;
}

const base::EmbeddedFile kMeta{"meta.yaml",
                               "definitions: {ObjectMeta: {type: object, properties: {name: {type: string}}}}"};

std::string with(std::string_view lines) {
  return "version: v1\nkind: Thing\nplural: things\ngroup: x.io\n" + std::string(lines);
}

TEST(Types, FaultsNameFileAndPath) {
  const struct {
    std::string text, expected;
  } kRows[] = {
      {"- a", "t.yaml: must be a YAML object"},
      {"kind: [", "t.yaml: "},
      {with("schema: {type: object}\nnonsense: 1"), "t.yaml: unknown key nonsense"},
      {with("schema: {type: object}\nnamespaced: 1"), "t.yaml: namespaced must be true or false"},
      {with("schema: {type: object}\nverbs: [shout]"), "t.yaml: verbs: unknown verb shout"},
      {with("schema: {type: object}\nunknownFields: warn"), "t.yaml: unknownFields must be refuse, or not there"},
      {with(""), "t.yaml: schema is missing"},
      {with("schema: {type: array, items: {}}"), "t.yaml: schema.type must be object"},
      {with("schema: {type: object, properties: {spec: {type: strng}}}"),
       "t.yaml: schema.properties.spec.type: unknown value \"strng\""},
      {with("schema: {type: object, properties: {a: {type: string, patern: x}}}"),
       "t.yaml: schema.properties.a: unknown key patern"},
      {with("schema: {type: object, properties: {a: {type: string, pattern: '('}}}"),
       "t.yaml: schema.properties.a: pattern: "},
      {with("schema: {type: object, properties: {a: {$ref: Nope}}}"),
       "t.yaml: schema.properties.a: $ref: no definition is named Nope"},
      {with("schema: {type: object, required: [b], properties: {a: {type: string}}}"),
       "required names b, which is no property"},
      {with("schema: {type: object, properties: {a: {type: array}}}"), "schema.properties.a: an array needs items"},
      {with("schema: {type: object, properties: {a: {type: array, items: {type: object}, x-kubernetes-list-type: "
            "map}}}"),
       "needs x-kubernetes-list-map-keys"},
      {with("schema: {type: object}\ncolumns: [{name: A, type: string}]"),
       "t.yaml: columns[0] needs jsonPath or compute"},
      {with("schema: {type: object}\ncolumns: [{name: A, type: string, compute: magic}]"),
       "t.yaml: columns[0].compute: there is no function magic"},
      {with("schema: {type: object}\ncolumns: [{name: A, type: string, jsonPath: '.a[?(x)]'}]"),
       "t.yaml: columns[0].jsonPath: "},
  };
  for (const auto& row : kRows) {
    const std::string error = error_of({kMeta, {"t.yaml", row.text}});
    EXPECT_NE(error.find(row.expected), std::string::npos)
        << row.text << "\n  says: " << error << "\n  not: " << row.expected;
  }
}

TEST(Types, FaultsOfDefinitions) {
  const std::string type = with("schema: {type: object, properties: {a: {$ref: A}}}");
  EXPECT_NE(
      error_of({kMeta, {"t.yaml", type}, {"d.yaml", "definitions: {A: {type: object, properties: {b: {$ref: A}}}}"}})
          .find("d.yaml: definitions.A.properties.b: $ref: the definition A contains itself"),
      std::string::npos);
  EXPECT_NE(error_of({kMeta, {"d.yaml", "definitions: {A: {type: x}}"}}).find("d.yaml: definitions.A.type"),
            std::string::npos);
  EXPECT_NE(error_of({kMeta, kMeta}).find("definitions.ObjectMeta is defined twice"), std::string::npos);
  EXPECT_NE(error_of({kMeta, {"a.yaml", with("schema: {type: object}")}, {"b.yaml", with("schema: {type: object}")}})
                .find("b.yaml: x.io/v1 Thing is already defined by a.yaml"),
            std::string::npos);
}

TEST(Types, DefaultsOfATypeFile) {
  TypeRegistry types;
  const std::string text = with("schema: {type: object}\nsubresources: [status]");
  const base::EmbeddedFile files[] = {{"t.yaml", text}, kMeta};
  ASSERT_TRUE(types.add_files(files));
  ASSERT_TRUE(types.resolve());
  const Type* type = types.find("x.io", "v1", "things");
  ASSERT_NE(type, nullptr);
  EXPECT_EQ(type->singular, "thing");
  EXPECT_TRUE(type->namespaced && type->stored() && type->counts_generation && !type->sealed);
  EXPECT_EQ(type->verbs.size(), 8u);
  EXPECT_EQ(type->columns.front().name, "Age");
  EXPECT_TRUE(type->selectable_fields.contains("metadata.namespace"));
  EXPECT_EQ(types.find_kind("x.io/v1", "Thing"), type);
  EXPECT_EQ(types.find_plural("x.io", "things"), type);
  EXPECT_EQ(types.find("x.io", "v2", "things"), nullptr);
}

TEST(Types, BuiltinsAreThereAndTied) {
  EXPECT_GE(builtin_types().all().size(), 20u);
  const Type& deployment = builtin("apps", "deployments");
  const Schema* node = deployment.schema.get();
  for (const char* step : {"spec", "template", "spec", "containers"}) {
    node = node->member(step);
    ASSERT_NE(node, nullptr) << step;
  }
  EXPECT_EQ(node->patch_merge_key, "name");
  EXPECT_EQ(node->items->definition, "Container");
  EXPECT_EQ(node->items.get(), builtin("", "pods").schema->member("spec")->member("containers")->items.get())
      << "definitions are shared";
  EXPECT_FALSE(builtin("authentication.k8s.io", "tokenreviews").stored());
  EXPECT_TRUE(builtin("", "secrets").sealed);
}

}  // namespace
}  // namespace mainstay::api
