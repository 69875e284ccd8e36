#include "reconcile/owner_graph.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mainstay::reconcile {
namespace {
namespace json = boost::json;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

json::value object(std::string uid, std::vector<std::string> owners, std::string ns = "shop") {
  json::array references;
  for (const auto& owner : owners) {
    references.push_back(json::object{
        {"apiVersion", "v1"}, {"kind", "ConfigMap"}, {"name", owner}, {"uid", owner}, {"blockOwnerDeletion", true}});
  }
  return json::object{
      {"metadata", json::object{{"name", uid}, {"namespace", ns}, {"uid", uid}, {"ownerReferences", references}}}};
}

json::value deleting(json::value object, std::string finalizer) {
  object.at("metadata").as_object()["deletionTimestamp"] = "2026-01-01T00:00:00Z";
  object.at("metadata").as_object()["finalizers"] = json::array{json::value(finalizer)};
  return object;
}

struct OwnerGraphTest : testing::Test {
  OwnerGraph graph;
  client::Resource maps = client::resources::kConfigMaps;
};

TEST_F(OwnerGraphTest, AsksOnlyAboutTheUncertain) {
  EXPECT_THAT(graph.put(maps, object("owner", {})), IsEmpty());
  EXPECT_THAT(graph.put(maps, object("child", {"owner"})), IsEmpty());
  EXPECT_THAT(graph.put(maps, object("lost", {"nobody"})), ElementsAre("lost"));
  EXPECT_THAT(graph.put(maps, object("lost", {"nobody"})), IsEmpty());  // nothing new
  EXPECT_THAT(graph.put(maps, object("abroad", {"owner"}, "other")), ElementsAre("abroad"));
}

TEST_F(OwnerGraphTest, TellsDependentsOfAnEnd) {
  graph.put(maps, object("owner", {}));
  graph.put(maps, object("a", {"owner"}));
  graph.put(maps, object("b", {"owner", "c"}));
  EXPECT_THAT(graph.dependents("owner"), UnorderedElementsAre("a", "b"));
  EXPECT_THAT(graph.remove("owner"), UnorderedElementsAre("a", "b"));
  EXPECT_THAT(graph.remove("owner"), IsEmpty());
  EXPECT_THAT(graph.remove("b"), UnorderedElementsAre("owner", "c"));  // they may have waited for it
  EXPECT_THAT(graph.dependents("c"), IsEmpty());
  EXPECT_EQ(graph.size(), 1u);
}

TEST_F(OwnerGraphTest, FollowsChangedOwners) {
  graph.put(maps, object("x", {}));
  graph.put(maps, object("y", {}));
  graph.put(maps, object("child", {"x"}));
  EXPECT_THAT(graph.put(maps, object("child", {"y"})), ElementsAre("x"));
  EXPECT_THAT(graph.dependents("x"), IsEmpty());
  EXPECT_THAT(graph.dependents("y"), ElementsAre("child"));
}

TEST_F(OwnerGraphTest, SeesDeletionsThatWait) {
  graph.put(maps, object("owner", {}));
  EXPECT_THAT(graph.put(maps, deleting(object("owner", {}), "foregroundDeletion")), ElementsAre("owner"));
  EXPECT_TRUE(graph.find("owner")->foreground);
  EXPECT_THAT(graph.put(maps, object("late", {"owner"})), ElementsAre("late"));
  EXPECT_THAT(graph.put(maps, deleting(object("other", {}), "orphan")), ElementsAre("other"));
  EXPECT_TRUE(graph.find("other")->orphan);
}

}  // namespace
}  // namespace mainstay::reconcile
