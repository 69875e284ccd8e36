// Requests that are about identity and about the API itself: reviews, impersonation, discovery, subresources.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/server.h"
#include "api/test_server.h"
#include "base/status.h"

namespace mainstay::api {
namespace {
namespace json = base::json;
using testing::HasSubstr;

constexpr const char* kConfigMaps = "/api/v1/namespaces/shop/configmaps";

TEST(ServerKindsTest, Impersonates) {
  TestServer t;
  t.run([&]() -> async::Task<> {
    auto request = TestServer::request("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", "{}");
    request->headers.set("Impersonate-User", "bob");
    request->headers.add("Impersonate-Group", "team:shop:owner");
    request->headers.add("Impersonate-Group", "system:masters");
    auto answer = co_await t.send(TestServer::master(), request);
    EXPECT_EQ(answer.status, 201) << answer.text;
    EXPECT_EQ(base::get_string(answer.json, "status.userInfo.username"), "bob");
    EXPECT_EQ(base::get_array(answer.json, "status.userInfo.groups").size(), 3u);
    const auto line = base::parse_json(t.audit_lines.back()).value();
    EXPECT_EQ(base::get_string(line, "user.username"), "root");
    EXPECT_EQ(base::get_string(line, "impersonatedUser.username"), "bob");
    auto refused = TestServer::request("GET", kConfigMaps);
    refused->headers.set("Impersonate-User", "bob");
    EXPECT_EQ((co_await t.send(TestServer::user("ann"), refused)).status, 403);
    auto lonely = TestServer::request("GET", kConfigMaps);
    lonely->headers.set("Impersonate-Group", "system:masters");
    EXPECT_EQ((co_await t.send(TestServer::master(), lonely)).status, 400);
  });
}

TEST(ServerKindsTest, AnswersReviews) {
  TestServer t([](Server& server) {
    server.authenticator().add(
        "test",
        [](std::string secret, std::string,
           std::optional<base::SystemTime>) -> async::Task<std::optional<base::Result<UserInfo>>> {
          if (secret != "good") co_return std::nullopt;
          co_return base::Result<UserInfo>(TestServer::user("ann", {"g"}));
        });
  });
  t.run([&]() -> async::Task<> {
    const UserInfo root = TestServer::master();
    auto review = [&](std::string resource, std::string body) {
      return t.call(root, "POST", "/apis/" + resource, std::move(body));
    };
    auto token = co_await review("authentication.k8s.io/v1/tokenreviews", R"({"spec":{"token":"good"}})");
    EXPECT_TRUE(base::get_bool(token.json, "status.authenticated")) << token.text;
    EXPECT_EQ(base::get_string(token.json, "status.user.username"), "ann");
    EXPECT_EQ(token.text.find("good"), std::string::npos);
    token = co_await review("authentication.k8s.io/v1/tokenreviews", R"({"spec":{"token":"bad"}})");
    EXPECT_FALSE(base::get_bool(token.json, "status.authenticated", true));
    auto access =
        co_await review("authorization.k8s.io/v1/selfsubjectaccessreviews",
                        R"({"spec":{"resourceAttributes":{"verb":"get","resource":"pods","namespace":"shop"}}})");
    EXPECT_TRUE(base::get_bool(access.json, "status.allowed")) << access.text;
    access = co_await review(
        "authorization.k8s.io/v1/subjectaccessreviews",
        R"({"spec":{"user":"ann","resourceAttributes":{"verb":"get","resource":"pods","namespace":"shop"}}})");
    EXPECT_EQ(access.status, 201) << access.text;
    EXPECT_FALSE(base::get_bool(access.json, "status.allowed", true));
    auto rules = co_await review("authorization.k8s.io/v1/selfsubjectrulesreviews", R"({"spec":{"namespace":"shop"}})");
    EXPECT_EQ(base::get_array(rules.json, "status.resourceRules").size(), 1u) << rules.text;
    auto local = co_await review(
        "authorization.k8s.io/v1/namespaces/shop/localsubjectaccessreviews",
        R"({"spec":{"user":"ann","resourceAttributes":{"verb":"get","resource":"pods","namespace":"default"}}})");
    EXPECT_EQ(local.status, 400) << local.text;
    EXPECT_EQ((co_await review("authorization.k8s.io/v1/subjectaccessreviews", R"({"spec":{"user":"ann"}})")).status,
              400);
  });
}

TEST(ServerKindsTest, ServesDiscoveryAndOpenApi) {
  TestServer t;
  t.run([&]() -> async::Task<> {
    const UserInfo root = TestServer::master();
    auto api = co_await t.call(root, "GET", "/api");
    EXPECT_EQ(base::get_string(api.json, "kind"), "APIVersions");
    auto groups = co_await t.call(root, "GET", "/apis");
    EXPECT_EQ(base::get_string(groups.json, "kind"), "APIGroupList");
    auto group = co_await t.call(root, "GET", "/apis/apps");
    EXPECT_EQ(base::get_string(group.json, "kind"), "APIGroup") << group.text;
    auto resources = co_await t.call(root, "GET", "/apis/apps/v1");
    EXPECT_EQ(base::get_string(resources.json, "kind"), "APIResourceList");
    EXPECT_EQ(base::get_string(resources.json, "groupVersion"), "apps/v1");
    const std::string accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
    auto aggregated = co_await t.call(root, "GET", "/apis", "", "", accept);
    EXPECT_EQ(base::get_string(aggregated.json, "kind"), "APIGroupDiscoveryList");
    EXPECT_EQ(aggregated.headers.get("Content-Type"),
              "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList");
    const std::string etag(aggregated.headers.get("ETag"));
    auto request = TestServer::request("GET", "/apis");
    request->headers.set("Accept", accept);
    request->headers.set("If-None-Match", etag);
    EXPECT_EQ((co_await t.send(root, request)).status, 304);
    auto v2 = co_await t.call(root, "GET", "/openapi/v2");
    EXPECT_EQ(base::get_string(v2.json, "swagger"), "2.0");
    auto protobuf = co_await t.call(root, "GET", "/openapi/v2", "", "",
                                    "application/com.github.proto-openapi.spec.v2@v1.0+protobuf");
    EXPECT_EQ(protobuf.headers.get("Content-Type"), "application/com.github.proto-openapi.spec.v2.v1.0+protobuf");
    auto v3 = co_await t.call(root, "GET", "/openapi/v3");
    EXPECT_TRUE(base::find(v3.json, {"paths", "apis/apps/v1"})) << v3.text.substr(0, 300);
    EXPECT_EQ((co_await t.call(root, "GET", "/openapi/v3/apis/apps/v1")).status, 200);
    EXPECT_EQ((co_await t.call(root, "GET", "/openapi/v3/api/v1")).status, 200);
  });
}

TEST(ServerKindsTest, ListsAsAtAVersion) {
  TestServer t;
  t.run([&]() -> async::Task<> {
    const auto list = [&](std::string query) {
      return t.call(TestServer::master(), "GET", std::string(kConfigMaps) + query);
    };
    co_await t.must("POST", kConfigMaps, R"({"metadata":{"name":"a"}})");
    const std::string version = base::get_string((co_await list("")).json, "metadata.resourceVersion");
    const std::string exact = "?resourceVersionMatch=Exact&resourceVersion=" + version;
    co_await t.must("POST", "/api/v1/namespaces/shop/serviceaccounts", R"({"metadata":{"name":"another-kind"}})");
    auto same = co_await list(exact);
    EXPECT_EQ(same.status, 200) << same.text;
    EXPECT_EQ(base::get_string(same.json, "metadata.resourceVersion"), version);
    co_await t.must("POST", kConfigMaps, R"({"metadata":{"name":"b"}})");
    auto old = co_await list(exact);
    EXPECT_EQ(old.status, 410) << "what was there then is not kept";
    EXPECT_EQ(base::get_string(old.json, "reason"), "Expired");
    EXPECT_EQ((co_await list("?resourceVersionMatch=NotOlderThan&resourceVersion=" + version)).status, 200);
    for (const char* bad :
         {"?resourceVersionMatch=Exact", "?resourceVersionMatch=Newest&resourceVersion=1",
          "?resourceVersionMatch=Exact&resourceVersion=0", "?resourceVersionMatch=Exact&resourceVersion=1&continue=x"})
      EXPECT_EQ((co_await list(bad)).status, 400) << bad;
  });
}

TEST(ServerKindsTest, ARefusalNamesTheKind) {
  TestServer t;
  t.run([&]() -> async::Task<> {
    // kubectl debug looks into the details of a 404 without asking whether there are any.
    auto answer = co_await t.call(TestServer::master(), "PATCH", "/api/v1/namespaces/shop/pods/p/ephemeralcontainers",
                                  "{}", "application/strategic-merge-patch+json");
    EXPECT_EQ(answer.status, 404);
    EXPECT_EQ(base::get_string(answer.json, "details.kind"), "pods");
    EXPECT_EQ(base::get_string(answer.json, "details.name"), "");
  });
}

TEST(ServerKindsTest, StrangersDoNotFillTheAuditLog) {
  TestServer t;
  t.run([&]() -> async::Task<> {
    bool left_out = false;
    for (int i = 0; i < 2000 && !left_out; ++i) {
      const std::size_t before = t.audit_lines.size();
      (void)co_await t.call(UserInfo{}, "GET", kConfigMaps);
      left_out = t.audit_lines.size() == before;
    }
    EXPECT_TRUE(left_out);
    EXPECT_GE(t.audit_lines.size(), 20u);
    (void)co_await t.call(TestServer::user("ann"), "GET", kConfigMaps);
    EXPECT_THAT(t.audit_lines.back(), HasSubstr("\"ann\"")) << "who is somebody is always kept";
    co_await async::sleep_for(std::chrono::milliseconds(1001));
    (void)co_await t.call(UserInfo{}, "GET", kConfigMaps);
    EXPECT_THAT(t.audit_lines.back(), HasSubstr("mainstay.dev/left-out-before"));
  });
}

TEST(ServerKindsTest, MadeUpMethodsAreOneLabel) {
  TestServer t;
  t.run([&]() -> async::Task<> {
    for (const char* method : {"BREW", "BREW2"}) (void)co_await t.call(TestServer::master(), method, "/nowhere");
    EXPECT_THAT(t.metrics.scrape(), HasSubstr("verb=\"OTHER\""));
    EXPECT_THAT(t.metrics.scrape(), testing::Not(HasSubstr("BREW")));
  });
}

TEST(ServerKindsTest, ServesScaleAndStatus) {
  TestServer t;
  t.run([&]() -> async::Task<> {
    const std::string deployments = "/apis/apps/v1/namespaces/shop/deployments";
    co_await t.must(
        "POST", deployments,
        R"({"metadata":{"name":"web"},"spec":{"replicas":2,"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}})");
    auto scale = co_await t.must("GET", deployments + "/web/scale");
    EXPECT_EQ(base::get_string(scale, "kind"), "Scale");
    EXPECT_EQ(base::get_int(scale, "spec.replicas"), 2);
    scale = co_await t.must("PATCH", deployments + "/web/scale", R"({"spec":{"replicas":5}})",
                            "application/merge-patch+json");
    EXPECT_EQ(base::get_int(scale, "spec.replicas"), 5);
    co_await t.must("PATCH", deployments + "/web/status", R"({"status":{"replicas":5},"spec":{"replicas":1}})",
                    "application/merge-patch+json");
    auto whole = co_await t.must("GET", deployments + "/web");
    EXPECT_EQ(base::get_int(whole, "spec.replicas"), 5);
    EXPECT_EQ(base::get_int(whole, "status.replicas"), 5);
  });
}

TEST(ServerKindsTest, ApplyCreatesOnlyForThoseWhoMayCreate) {
  TestServer t;
  t.run([&]() -> async::Task<> {
    const std::string rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/shop/";
    co_await t.must(
        "POST", rbac + "roles",
        R"({"metadata":{"name":"p"},"rules":[{"apiGroups":[""],"resources":["configmaps"],"verbs":["patch"]}]})");
    co_await t.must(
        "POST", rbac + "rolebindings",
        R"({"metadata":{"name":"p"},"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"Role","name":"p"},
                        "subjects":[{"kind":"User","apiGroup":"rbac.authorization.k8s.io","name":"ann"}]})");
    const std::string body = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {x: y}\n";
    const std::string target = std::string(kConfigMaps) + "/a?fieldManager=test";
    const UserInfo ann = TestServer::user("ann");
    auto refused = co_await t.call(ann, "PATCH", target, body, "application/apply-patch+yaml");
    EXPECT_EQ(refused.status, 403);
    EXPECT_THAT(refused.text, HasSubstr("cannot create resource"));
    co_await t.must("POST", kConfigMaps, R"({"metadata":{"name":"a"}})");
    auto applied = co_await t.call(ann, "PATCH", target, body, "application/apply-patch+yaml");
    EXPECT_EQ(applied.status, 200) << applied.text;
  });
}

TEST(ServerKindsTest, AVerifierThatFailsIsAnAnswer) {
  TestServer t([](Server& server) {
    server.authenticator().add(
        "broken",
        [](std::string, std::string,
           std::optional<base::SystemTime>) -> async::Task<std::optional<base::Result<UserInfo>>> {
          throw base::unavailable("the directory is away");
        });
  });
  t.run([&]() -> async::Task<> {
    auto request = TestServer::request("GET", kConfigMaps);
    request->headers.set("Authorization", "Bearer x");
    EXPECT_EQ((co_await t.server->handle(request)).status, 503);
  });
}

}  // namespace
}  // namespace mainstay::api
