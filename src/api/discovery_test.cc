#include <gtest/gtest.h>

#include "api/test_types.h"
#include "api/verbs.h"

namespace mainstay::api {
namespace {
namespace json = base::json;

const json::value* named(const json::array& items, std::string_view key, std::string_view name) {
  for (const json::value& item : items) {
    if (base::get_string(item, key) == name) return &item;
  }
  return nullptr;
}

TEST(Discovery, Groups) {
  const json::value list = discovery_groups(builtin_types());
  const json::value* apps = named(list.at("groups").as_array(), "name", "apps");
  ASSERT_NE(apps, nullptr);
  EXPECT_EQ(apps->at("preferredVersion").at("groupVersion"), "apps/v1");
  EXPECT_EQ(named(list.at("groups").as_array(), "name", ""), nullptr);
}

TEST(Discovery, ResourcesWithSubresources) {
  const json::value list = discovery_resources(builtin_types(), "apps", "v1");
  EXPECT_EQ(list.at("groupVersion"), "apps/v1");
  const json::array& resources = list.at("resources").as_array();
  const json::value* deployments = named(resources, "name", "deployments");
  ASSERT_NE(deployments, nullptr);
  EXPECT_EQ(deployments->at("shortNames").at(0), "deploy");
  EXPECT_EQ(deployments->at("verbs").as_array().size(), 8u);
  const json::value* scale = named(resources, "name", "deployments/scale");
  ASSERT_NE(scale, nullptr);
  EXPECT_EQ(scale->at("kind"), "Scale");
  EXPECT_EQ(scale->at("group"), "autoscaling");
  const json::value core = discovery_resources(builtin_types(), "", "v1");
  EXPECT_EQ(core.at("groupVersion"), "v1");
  EXPECT_NE(named(core.at("resources").as_array(), "name", "namespaces/finalize"), nullptr);
}

TEST(Discovery, AllAtOnce) {
  const json::value list = discovery_aggregated(builtin_types(), true);
  ASSERT_EQ(list.at("items").as_array().size(), 1u);
  const json::array& resources = list.at("items").at(0).at("versions").at(0).at("resources").as_array();
  const json::value* pods = named(resources, "resource", "pods");
  ASSERT_NE(pods, nullptr);
  EXPECT_EQ(pods->at("scope"), "Namespaced");
  EXPECT_EQ(pods->at("responseKind").at("kind"), "Pod");
  EXPECT_EQ(pods->at("subresources").at(0).at("subresource"), "status");
  EXPECT_GE(discovery_aggregated(builtin_types(), false).at("items").as_array().size(), 6u);
}

}  // namespace
}  // namespace mainstay::api
