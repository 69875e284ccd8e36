#include "api/openapi.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "api/test_types.h"
#include "api/verbs.h"

namespace mainstay::api {
namespace {
namespace json = base::json;

void references(const json::value& value, std::set<std::string>& out) {
  if (value.is_array()) {
    for (const json::value& item : value.get_array()) references(item, out);
  } else if (value.is_object()) {
    for (const auto& member : value.get_object()) {
      if (member.key() == "$ref" && member.value().is_string()) out.insert(std::string(member.value().get_string()));
      references(member.value(), out);
    }
  }
}

void expect_tied(const json::value& document, const json::object& definitions, std::string_view prefix) {
  std::set<std::string> used;
  references(document, used);
  EXPECT_FALSE(used.empty());
  for (const std::string& one : used) {
    ASSERT_TRUE(one.starts_with(prefix)) << one;
    EXPECT_TRUE(definitions.contains(one.substr(prefix.size()))) << one;
  }
}

bool is_kind(const json::value& gvk, std::string_view group, std::string_view kind) {
  return base::get_string(gvk, "group") == group && base::get_string(gvk, "kind") == kind;
}

// The patch operation of a kind, found as kubectl finds it: by the extension on the operation.
const json::value* patch_of(const json::value& document, std::string_view group, std::string_view kind) {
  for (const auto& path : document.at("paths").as_object()) {
    const json::value* patch = path.value().as_object().if_contains("patch");
    if (patch && is_kind(patch->at("x-kubernetes-group-version-kind"), group, kind)) return patch;
  }
  return nullptr;
}

bool has_parameter(const json::value& operation, std::string_view name) {
  for (const json::value& one : base::get_array(operation, "parameters")) {
    if (base::get_string(one, "name") == name && base::get_string(one, "in") == "query") return true;
  }
  return false;
}

TEST(OpenApi, V2IsWholeAndTellsKubectlWhatItAsks) {
  const json::value document = openapi_v2(builtin_types());
  const json::object& definitions = document.at("definitions").as_object();
  expect_tied(document, definitions, "#/definitions/");
  const json::value& deployment = definitions.at("io.k8s.api.apps.v1.Deployment");
  EXPECT_TRUE(is_kind(deployment.at("x-kubernetes-group-version-kind").at(0), "apps", "Deployment"));
  const json::value* patch = patch_of(document, "apps", "Deployment");
  ASSERT_NE(patch, nullptr);
  EXPECT_TRUE(has_parameter(*patch, "dryRun"));
  EXPECT_TRUE(has_parameter(*patch, "fieldValidation"));
  const json::value& containers = definitions.at("definitions.PodSpec").at("properties").at("containers");
  EXPECT_EQ(containers.at("x-kubernetes-patch-merge-key"), "name");
  EXPECT_EQ(containers.at("x-kubernetes-patch-strategy"), "merge");
  EXPECT_EQ(containers.at("items").at("$ref"), "#/definitions/definitions.Container");
}

TEST(OpenApi, V3OfEachGroup) {
  const json::value index = openapi_v3_index(builtin_types());
  EXPECT_NE(base::get_string(index.at("paths").at("apis/apps/v1"), "serverRelativeURL")
                .find("/openapi/v3/apis/apps/v1?hash="),
            std::string::npos);
  for (const auto& [group, kind] :
       std::initializer_list<std::pair<const char*, const char*>>{{"", "Pod"},
                                                                  {"apps", "Deployment"},
                                                                  {"rbac.authorization.k8s.io", "RoleBinding"},
                                                                  {"coordination.k8s.io", "Lease"}}) {
    const json::value document = openapi_v3(builtin_types(), group, "v1");
    const json::object& schemas = document.at("components").at("schemas").as_object();
    expect_tied(document, schemas, "#/components/schemas/");
    const json::value* patch = patch_of(document, group, kind);
    ASSERT_NE(patch, nullptr) << kind;
    EXPECT_TRUE(has_parameter(*patch, "fieldValidation"));
    EXPECT_TRUE(patch->at("requestBody").at("content").as_object().contains("application/strategic-merge-patch+json"));
  }
}

TEST(OpenApi, V3UsesAllOfWhereAReferenceSaysMore) {
  const json::value document = openapi_v3(builtin_types(), "", "v1");
  const json::value& probe =
      document.at("components").at("schemas").at("definitions.Container").at("properties").at("readinessProbe");
  EXPECT_EQ(probe.at("allOf").at(0).at("$ref"), "#/components/schemas/definitions.Probe");
  EXPECT_FALSE(base::get_string(probe, "description").empty());
}

TEST(OpenApi, NamesOfKinds) {
  Type type;
  type.version = "v1";
  type.kind = "Kind";
  for (const auto& [group, name] : std::initializer_list<std::pair<const char*, const char*>>{
           {"", "io.k8s.api.core.v1.Kind"},
           {"apps", "io.k8s.api.apps.v1.Kind"},
           {"rbac.authorization.k8s.io", "io.k8s.api.rbac.v1.Kind"},
           {"mainstay.dev", "dev.mainstay.v1.Kind"}}) {
    type.group = group;
    EXPECT_EQ(OpenApiWriter::kind_name(type), name);
  }
}

// A reader of the protobuf wire format, enough to look into what we write.
struct Field {
  int number = 0;
  std::string_view bytes;
  std::uint64_t value = 0;
};
std::uint64_t varint(std::string_view& in) {
  std::uint64_t out = 0;
  for (int shift = 0; !in.empty(); shift += 7) {
    const auto byte = static_cast<unsigned char>(in.front());
    in.remove_prefix(1);
    out |= std::uint64_t{byte & 0x7Fu} << shift;
    if (byte < 0x80) break;
  }
  return out;
}
std::vector<Field> fields(std::string_view in) {
  std::vector<Field> out;
  while (!in.empty()) {
    const std::uint64_t tag = varint(in);
    Field field{static_cast<int>(tag >> 3), {}, 0};
    if ((tag & 7) == 0) {
      field.value = varint(in);
    } else {
      const std::size_t size = (tag & 7) == 1 ? 8 : varint(in);
      EXPECT_LE(size, in.size());
      field.bytes = in.substr(0, size);
      in.remove_prefix(std::min(size, in.size()));
    }
    out.push_back(field);
  }
  return out;
}
std::string_view one(std::string_view message, int number) {
  for (const Field& field : fields(message)) {
    if (field.number == number) return field.bytes;
  }
  return {};
}
std::string_view entry(std::string_view message, int number, std::string_view name) {
  for (const Field& field : fields(message)) {
    if (field.number == number && one(field.bytes, 1) == name) return one(field.bytes, 2);
  }
  return {};
}

TEST(OpenApi, V2InProtobuf) {
  const std::string bytes = openapi_v2_protobuf(openapi_v2(builtin_types()));
  EXPECT_EQ(one(bytes, 1), "2.0");
  const std::string_view definitions = one(bytes, 9);
  const std::string_view pod_spec = entry(definitions, 1, "definitions.PodSpec");
  ASSERT_FALSE(pod_spec.empty());
  const std::string_view containers = entry(one(pod_spec, 25), 1, "containers");
  EXPECT_EQ(one(one(one(containers, 23), 1), 1), "#/definitions/definitions.Container");
  EXPECT_EQ(one(one(containers, 22), 1), "array");
  EXPECT_EQ(one(entry(containers, 31, "x-kubernetes-patch-merge-key"), 2), "\"name\"\n");
  const std::string_view path = entry(one(bytes, 8), 2, "/apis/apps/v1/namespaces/{namespace}/deployments/{name}");
  const std::string_view patch = one(path, 8);
  EXPECT_NE(one(entry(patch, 13, "x-kubernetes-group-version-kind"), 2).find("Deployment"), std::string_view::npos);
  std::set<std::string> query;
  for (const Field& field : fields(patch)) {
    if (field.number != 8) continue;
    const std::string_view sub = one(one(one(field.bytes, 1), 2), 3);
    if (!sub.empty()) query.emplace(one(sub, 4));
  }
  EXPECT_TRUE(query.contains("dryRun") && query.contains("fieldValidation") && query.contains("force"));
}

}  // namespace
}  // namespace mainstay::api
