#include "reconcile/core_controllers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/test_server.h"
#include "base/status.h"
#include "base/yaml.h"
#include "client/in_process.h"
#include "reconcile/controller.h"
#include "reconcile/event_expiry.h"

namespace mainstay::reconcile {
namespace {
using client::resources::kConfigMaps;
using client::resources::kNamespaces;
using std::chrono::milliseconds;

json::value config_map(std::string name, const std::vector<json::value>& owners = {}) {
  json::array references;
  for (const auto& owner : owners) references.push_back(owner_reference(owner, false));
  return json::object{{"metadata", json::object{{"name", name}, {"ownerReferences", references}}}};
}

struct CoreControllersTest : testing::Test {
  api::TestServer t;
  client::ApiClient client{client::in_process_transport(*t.server, api::TestServer::master()), "tester"};

  void with(std::function<async::Task<>()> body) {
    t.run([&]() -> async::Task<> {
      async::TaskGroup group(t.runtime.executor(), "test");
      client::Caches caches(group, client);
      start_core_controllers(group, caches, t.server->types(), client, t.metrics);
      co_await body();
      group.cancel();
      co_await group.join();
    });
  }
  bool there(std::string name, std::string ns = "shop") {
    return t.store->get({"", "configmaps", ns, name}) != nullptr;
  }
  async::Task<> until(std::function<bool()> condition) {
    for (int i = 0; i < 1000 && !condition(); ++i) co_await async::sleep_for(milliseconds(5));
    EXPECT_TRUE(condition());
  }
  async::Task<json::value> make(json::value object) {
    co_return co_await client.create(kConfigMaps, "shop", std::move(object));
  }
};

TEST_F(CoreControllersTest, DependentsFollowTheirOwner) {
  with([&]() -> async::Task<> {
    auto owner = co_await make(config_map("owner"));
    auto child = co_await make(config_map("child", {owner}));
    co_await make(config_map("grandchild", {child}));
    co_await make(config_map("free"));
    co_await async::sleep_for(milliseconds(30));
    EXPECT_TRUE(there("grandchild"));
    co_await client.remove(kConfigMaps, "shop", "owner");
    co_await until([&] { return !there("child") && !there("grandchild"); });
    EXPECT_TRUE(there("free"));
  });
}

TEST_F(CoreControllersTest, ALeftOwnerKeepsItsDependents) {
  with([&]() -> async::Task<> {
    auto one = co_await make(config_map("one")), two = co_await make(config_map("two"));
    co_await make(config_map("child", {one, two}));
    co_await client.remove(kConfigMaps, "shop", "one");
    co_await until([&] {
      auto child = t.store->get({"", "configmaps", "shop", "child"});
      return child && base::get_array(*child->object, "metadata.ownerReferences").size() == 1;
    });
    co_await client.remove(kConfigMaps, "shop", "two");
    co_await until([&] { return !there("child"); });
  });
}

TEST_F(CoreControllersTest, AnOwnerThatNeverWas) {
  with([&]() -> async::Task<> {
    json::value ghost = json::object{{"apiVersion", "v1"},
                                     {"kind", "ConfigMap"},
                                     {"metadata", json::object{{"name", "ghost"}, {"uid", "no-such-uid"}}}};
    json::value foreign = json::object{
        {"apiVersion", "elsewhere.dev/v1"}, {"kind", "Thing"}, {"metadata", json::object{{"name", "x"}, {"uid", "u"}}}};
    co_await make(config_map("doubtful", {foreign}));  // a kind we do not know: nothing is deleted on doubt
    co_await make(config_map("child", {ghost}));
    co_await until([&] { return !there("child"); });
    EXPECT_TRUE(there("doubtful"));
    // The name is taken by another object: its uid is not the one meant.
    auto real = co_await make(config_map("real"));
    base::set(real, "metadata.uid", "another-uid");
    co_await make(config_map("child2", {real}));
    co_await until([&] { return !there("child2"); });
    EXPECT_TRUE(there("real"));
  });
}

TEST_F(CoreControllersTest, ForegroundDeletionWaitsForDependents) {
  with([&]() -> async::Task<> {
    auto owner = co_await make(config_map("owner"));
    json::value child = config_map("child", {owner});
    child.at_pointer("/metadata/ownerReferences/0").as_object()["blockOwnerDeletion"] = true;
    base::set(child, "metadata.finalizers", json::array{"test/hold"});
    co_await make(child);
    co_await async::sleep_for(milliseconds(30));
    co_await client.remove(kConfigMaps, "shop", "owner", "Foreground");
    co_await until([&] {
      auto record = t.store->get({"", "configmaps", "shop", "child"});
      return record && base::find(*record->object, "metadata.deletionTimestamp");
    });
    EXPECT_TRUE(there("owner"));
    co_await client.merge_patch(kConfigMaps, "shop", "child",
                                json::object{{"metadata", json::object{{"finalizers", nullptr}}}});
    co_await until([&] { return !there("child") && !there("owner"); });
  });
}

TEST_F(CoreControllersTest, OrphaningLeavesDependents) {
  with([&]() -> async::Task<> {
    auto owner = co_await make(config_map("owner"));
    co_await make(config_map("child", {owner}));
    co_await async::sleep_for(milliseconds(30));
    co_await client.remove(kConfigMaps, "shop", "owner", "Orphan");
    co_await until([&] { return !there("owner"); });
    co_await async::sleep_for(milliseconds(30));
    auto child = t.store->get({"", "configmaps", "shop", "child"});
    EXPECT_TRUE(child && base::get_array(*child->object, "metadata.ownerReferences").empty());
  });
}

TEST_F(CoreControllersTest, ANamespaceGoesWithItsContent) {
  with([&]() -> async::Task<> {
    co_await client.create(kNamespaces, "", json::object{{"metadata", json::object{{"name", "gone"}}}});
    for (int i = 0; i < 20; ++i) co_await client.create(kConfigMaps, "gone", config_map("c" + std::to_string(i)));
    json::value held = config_map("held");
    base::set(held, "metadata.finalizers", json::array{"test/hold"});
    co_await client.create(kConfigMaps, "gone", held);
    co_await client.remove(kNamespaces, "", "gone");
    co_await until([&] {
      auto record = t.store->get({"", "namespaces", "", "gone"});
      return record && condition_true(*record->object, "NamespaceContentRemaining");
    });
    auto left = co_await client.list_objects(kConfigMaps, "gone");
    EXPECT_EQ(left.items.size(), 1u);
    auto ns = co_await client.get(kNamespaces, "", "gone");
    EXPECT_EQ(base::get_string(ns, "status.phase"), "Terminating");
    int code = 0;
    try {
      co_await client.create(kConfigMaps, "gone", config_map("late"));
    } catch (const base::StatusError& e) {
      code = e.code();
    }
    EXPECT_EQ(code, 403);
    co_await client.merge_patch(kConfigMaps, "gone", "held",
                                json::object{{"metadata", json::object{{"finalizers", nullptr}}}});
    co_await until([&] { return !t.store->get({"", "namespaces", "", "gone"}); });
    EXPECT_EQ((co_await client.list_objects(kConfigMaps, "gone")).items.size(), 0u);
  });
}

TEST_F(CoreControllersTest, AggregatedRolesShowTheirRules) {
  with([&]() -> async::Task<> {
    using client::resources::kClusterRoles;
    auto role = [](std::string name, std::string text) {
      json::value made = base::parse_yaml(text).value();
      base::set(made, "metadata.name", json::value(name));
      return made;
    };
    co_await client.create(kClusterRoles, "",
                           role("all", "{aggregationRule: {clusterRoleSelectors: [{matchLabels: {to: all}}]}}"));
    co_await client.create(
        kClusterRoles, "",
        role("part", "{metadata: {labels: {to: all}}, rules: [{apiGroups: [''], resources: [pods], verbs: [get]}]}"));
    auto rules = [&] {
      auto record = t.store->get({"rbac.authorization.k8s.io", "clusterroles", "", "all"});
      return base::get_array(*record->object, "rules").size();
    };
    co_await until([&] { return rules() == 1; });
    co_await client.merge_patch(kClusterRoles, "", "part",
                                json::object{{"metadata", json::object{{"labels", nullptr}}}});
    co_await until([&] { return rules() == 0; });
  });
}

client::ObjectPtr event_at(std::string name, std::int64_t seconds) {
  return std::make_shared<const json::value>(
      json::object{{"metadata", json::object{{"name", name}}},
                   {"lastTimestamp", base::rfc3339(base::SystemTime(std::chrono::seconds(seconds)))}});
}

TEST(EventExpiryTest, TakesTheOldAndTheTooMany) {
  const base::SystemTime now{std::chrono::seconds(100'000)};
  const std::vector<client::ObjectPtr> events{event_at("new", 99'999), event_at("old", 90'000), event_at("mid", 99'000),
                                              event_at("older", 80'000)};
  auto names = [](const std::vector<client::ObjectPtr>& some) {
    std::vector<std::string> result;
    for (const auto& one : some) result.push_back(base::get_string(*one, "metadata.name"));
    return result;
  };
  EXPECT_EQ(names(expired_events(events, now, 100)), (std::vector<std::string>{"older", "old"}));
  EXPECT_EQ(names(expired_events(events, now, 1)), (std::vector<std::string>{"older", "old", "mid"}));
  EXPECT_TRUE(expired_events({}, now, 1).empty());
}

// The roles that every cluster has are accepted as they are written, and mean what they should.
TEST_F(CoreControllersTest, BootstrapObjectsApply) {
  t.run([&]() -> async::Task<> {
    for (const auto& file : core_files()) {
      for (auto& object : base::parse_yaml_documents(file.content).value()) {
        const std::string kind = base::get_string(object, "kind");
        const client::Resource resource = kind == "Namespace"     ? kNamespaces
                                          : kind == "ClusterRole" ? client::resources::kClusterRoles
                                                                  : client::resources::kClusterRoleBindings;
        co_await client.apply(resource, object);
      }
    }
    const auto& rbac = t.server->authorizer();
    auto user = [](std::string name, std::string group) { return api::TestServer::user(name, {group}); };
    const api::Attributes discovery{"get", "", "", "", "", "", "/apis/apps/v1"},
        pods{"delete", "", "pods", "", "shop", "x", ""};
    EXPECT_TRUE(rbac.authorize(user("ann", "system:authenticated"), discovery).allowed);
    EXPECT_FALSE(rbac.authorize(user("nobody", "system:unauthenticated"), discovery).allowed);
    EXPECT_TRUE(rbac.authorize(user("ann", "mainstay:admins"), pods).allowed);
    EXPECT_FALSE(rbac.authorize(user("ann", "system:authenticated"), pods).allowed);
    co_await t.must(
        "POST", "/apis/rbac.authorization.k8s.io/v1/namespaces/shop/rolebindings",
        R"({"metadata":{"name":"e"},"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"edit"},"subjects":[{"kind":"User","apiGroup":"rbac.authorization.k8s.io","name":"ed"}]})");
    const api::UserInfo ed = user("ed", "system:authenticated");
    EXPECT_TRUE(rbac.authorize(ed, pods).allowed);
    EXPECT_TRUE(rbac.authorize(ed, {"list", "apps", "deployments", "", "shop", "", ""}).allowed);  // of view
    EXPECT_FALSE(rbac.authorize(ed, {"create", "rbac.authorization.k8s.io", "roles", "", "shop", "", ""}).allowed);
    EXPECT_FALSE(rbac.authorize(ed, {"delete", "", "pods", "", "default", "x", ""}).allowed);
  });
}

}  // namespace
}  // namespace mainstay::reconcile
