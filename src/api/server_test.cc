// The chain, as clients see it.
#include "api/server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/test_server.h"
#include "base/status.h"

namespace mainstay::api {
namespace {
namespace json = base::json;
using testing::HasSubstr;

constexpr const char* kConfigMaps = "/api/v1/namespaces/shop/configmaps";

Route public_route(std::string method, std::string pattern, std::string answer) {
  Route route;
  route.method = std::move(method);
  route.pattern = std::move(pattern);
  route.permission = Public{"a test"};
  route.handler = [answer](std::shared_ptr<RequestContext> context) -> async::Task<net::Response> {
    co_return net::Response::text(200, answer + context->params["x"]);
  };
  return route;
}

TEST(ServerTest, AnswersHealthAndVersionToAnyone) {
  TestServer t;
  t.run([&]() -> async::Task<> {
    const UserInfo nobody;
    for (const char* path : {"/healthz", "/livez", "/readyz", "/readyz?verbose"}) {
      auto answer = co_await t.call(nobody, "GET", path);
      EXPECT_EQ(answer.status, 200) << path;
      EXPECT_EQ(answer.text, "ok");
      EXPECT_FALSE(answer.headers.get("Audit-Id").empty());
    }
    auto version = co_await t.call(nobody, "GET", "/version");
    EXPECT_EQ(base::get_string(version.json, "major"), "1");
  });
}

TEST(ServerTest, CreatesReadsChangesAndDeletes) {
  TestServer t;
  t.run([&]() -> async::Task<> {
    const UserInfo root = TestServer::master();
    auto created = co_await t.call(root, "POST", kConfigMaps, R"({"metadata":{"name":"a"},"data":{"k":"1"}})");
    EXPECT_EQ(created.status, 201) << created.text;
    EXPECT_EQ(base::get_string(created.json, "kind"), "ConfigMap");
    auto again = co_await t.call(root, "POST", kConfigMaps, R"({"metadata":{"name":"a"}})");
    EXPECT_EQ(again.status, 409);
    EXPECT_EQ(base::get_string(again.json, "reason"), "AlreadyExists");
    auto got = co_await t.call(root, "GET", std::string(kConfigMaps) + "/a");
    EXPECT_EQ(got.text, *t.store->get({"", "configmaps", "shop", "a"})->bytes);
    EXPECT_EQ(got.headers.get("Content-Type"), "application/json");
    auto yaml = co_await t.call(root, "PUT", std::string(kConfigMaps) + "/a", "metadata: {name: a}\ndata: {k: two}\n",
                                "application/yaml");
    EXPECT_EQ(yaml.status, 200) << yaml.text;
    EXPECT_EQ(base::get_string(yaml.json, "data.k"), "two");
    auto patched = co_await t.call(root, "PATCH", std::string(kConfigMaps) + "/a",
                                   R"([{"op":"replace","path":"/data/k","value":"3"}])", "application/json-patch+json");
    EXPECT_EQ(base::get_string(patched.json, "data.k"), "3") << patched.text;
    auto applied = co_await t.call(root, "PATCH", std::string(kConfigMaps) + "/new?fieldManager=test",
                                   "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: new}\ndata: {x: y}\n",
                                   "application/apply-patch+yaml");
    EXPECT_EQ(applied.status, 201) << applied.text;
    auto dry = co_await t.call(root, "DELETE", std::string(kConfigMaps) + "/a?dryRun=All");
    EXPECT_EQ(dry.status, 200);
    EXPECT_TRUE(t.store->get({"", "configmaps", "shop", "a"}));
    auto gone = co_await t.call(root, "DELETE", std::string(kConfigMaps) + "/a",
                                R"({"kind":"DeleteOptions","apiVersion":"v1"})");
    EXPECT_EQ(base::get_string(gone.json, "status"), "Success") << gone.text;
    auto missing = co_await t.call(root, "GET", std::string(kConfigMaps) + "/a");
    EXPECT_EQ(missing.status, 404);
    EXPECT_EQ(base::get_string(missing.json, "message"), "configmaps \"a\" not found");
    auto all = co_await t.call(root, "DELETE", kConfigMaps);
    EXPECT_EQ(all.status, 200);
    EXPECT_EQ(t.store->count("", "configmaps"), 0u);
  });
}

// The store reads back nothing but UTF-8: one object of other bytes, and no later start would come to its end.
TEST(ServerTest, ManagersAreText) {
  TestServer t;
  t.run([&]() -> async::Task<> {
    const UserInfo root = TestServer::master();
    const std::string a = R"({"metadata":{"name":"a"}})", target(kConfigMaps);
    auto refused = co_await t.call(root, "POST", target + "?fieldManager=%ff", a);
    EXPECT_EQ(refused.status, 400) << refused.text;
    EXPECT_EQ(t.store->count("", "configmaps"), 0u);
    auto named = co_await t.call(root, "POST", target + "?fieldManager=caf%C3%A9", a);
    EXPECT_EQ(named.status, 201) << named.text;
    for (const std::string& agent : {std::string("caf\xE9/1"), std::string(127, 'x') + "\xC3\xA9/1"}) {
      auto request = TestServer::request("PUT", target + "/a", R"({"metadata":{"name":"a"},"data":{"k":"1"}})");
      request->headers.set("Content-Type", "application/json");
      request->headers.set("User-Agent", agent);
      const auto put = co_await t.send(root, request);
      EXPECT_EQ(put.status, 200) << put.text;
      EXPECT_TRUE(base::parse_json(*t.store->get({"", "configmaps", "shop", "a"})->bytes));
    }
  });
}

TEST(ServerTest, ListsFromTheItemsBytes) {
  TestServer t;
  t.run([&]() -> async::Task<> {
    for (const char* name : {"a", "b", "c"}) {
      co_await t.must("POST", kConfigMaps,
                      std::string(R"({"metadata":{"name":")") + name + R"(","labels":{"l":")" + name + R"("}}})");
    }
    const UserInfo root = TestServer::master();
    auto list = co_await t.call(root, "GET", kConfigMaps);
    EXPECT_EQ(base::get_string(list.json, "kind"), "ConfigMapList");
    EXPECT_EQ(base::get_array(list.json, "items").size(), 3u);
    EXPECT_EQ(base::get_string(list.json, "metadata.resourceVersion"), std::to_string(t.store->revision()));
    auto page = co_await t.call(root, "GET", std::string(kConfigMaps) + "?limit=2");
    EXPECT_EQ(base::get_array(page.json, "items").size(), 2u);
    const std::string next = base::get_string(page.json, "metadata.continue");
    EXPECT_FALSE(next.empty());
    auto rest = co_await t.call(root, "GET", std::string(kConfigMaps) + "?limit=2&continue=" + next);
    EXPECT_EQ(base::get_array(rest.json, "items").size(), 1u);
    auto labelled = co_await t.call(root, "GET", std::string(kConfigMaps) + "?labelSelector=l%20in%20(a,b)");
    EXPECT_EQ(base::get_array(labelled.json, "items").size(), 2u);
    auto named = co_await t.call(root, "GET", std::string(kConfigMaps) + "?fieldSelector=metadata.name%3Dc");
    EXPECT_EQ(base::get_array(named.json, "items").size(), 1u);
    for (const char* query : {"?labelSelector=a%20b%20c", "?fieldSelector=data.k%3D1", "?limit=-1", "?limit=x"}) {
      auto bad = co_await t.call(root, "GET", std::string(kConfigMaps) + query);
      EXPECT_EQ(bad.status, 400) << query << bad.text;
    }
    auto empty = co_await t.call(root, "GET", "/api/v1/pods");
    EXPECT_EQ(base::get_array(empty.json, "items").size(), 0u);
    EXPECT_THAT(empty.text, HasSubstr(R"("items":[])"));
  });
}

TEST(ServerTest, GivesTablesAndPartialObjects) {
  TestServer t;
  t.run([&]() -> async::Task<> {
    co_await t.must("POST", kConfigMaps, R"({"metadata":{"name":"a"},"data":{"k":"1"}})");
    const UserInfo root = TestServer::master();
    const std::string table_accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
    auto table = co_await t.call(root, "GET", kConfigMaps, "", "", table_accept);
    EXPECT_EQ(base::get_string(table.json, "kind"), "Table") << table.text;
    EXPECT_EQ(base::get_string(table.json, "apiVersion"), "meta.k8s.io/v1");
    EXPECT_EQ(base::get_array(table.json, "rows").size(), 1u);
    EXPECT_EQ(base::get_string(base::get_array(table.json, "rows").at(0), "object.kind"), "PartialObjectMetadata");
    auto none = co_await t.call(root, "GET", std::string(kConfigMaps) + "?includeObject=None", "", "", table_accept);
    EXPECT_FALSE(base::find(base::get_array(none.json, "rows").at(0), "object"));
    auto partial = co_await t.call(root, "GET", kConfigMaps, "", "",
                                   "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io");
    EXPECT_EQ(base::get_string(partial.json, "kind"), "PartialObjectMetadataList");
    EXPECT_FALSE(base::find(base::get_array(partial.json, "items").at(0), "data"));
    auto yaml = co_await t.call(root, "GET", std::string(kConfigMaps) + "/a", "", "", "application/yaml");
    EXPECT_THAT(yaml.text, HasSubstr("kind: ConfigMap"));
    auto protobuf = co_await t.call(root, "GET", kConfigMaps, "", "", "application/vnd.kubernetes.protobuf");
    EXPECT_EQ(protobuf.status, 406);
  });
}

struct Refusal {
  const char *method, *target, *body, *type;
  int status;
  const char* reason;
};

TEST(ServerTest, RefusesWithTheRightStatus) {
  TestServer t;
  t.run([&]() -> async::Task<> {
    co_await t.must("POST", kConfigMaps, R"({"metadata":{"name":"a"}})");
    const std::string one = std::string(kConfigMaps) + "/a";
    const std::string big = R"({"metadata":{"name":"x"},"data":{"k":")" + std::string(3u << 20, 'x') + R"("}})";
    const std::vector<Refusal> refusals{
        {"GET", "/nothing", "", "", 404, "NotFound"},
        {"GET", "/api/v1/nothings", "", "", 404, "NotFound"},
        {"GET", "/apis/nothing.dev/v1/things", "", "", 404, "NotFound"},
        {"GET", "/apis/nothing.dev", "", "", 404, "NotFound"},
        {"GET", "/apis/nothing.dev/v9", "", "", 404, "NotFound"},
        {"GET", "/api/v1/namespaces/shop/namespaces", "", "", 404, "NotFound"},
        {"GET", "/api/v1/namespaces/shop/configmaps/a/status", "", "", 404, "NotFound"},
        {"PUT", kConfigMaps, "{}", "", 405, "MethodNotAllowed"},
        {"POST", one.c_str(), "{}", "", 405, "MethodNotAllowed"},
        {"POST", "/api/v1/configmaps", "{}", "", 405, "MethodNotAllowed"},
        {"POST", "/healthz", "", "", 405, "MethodNotAllowed"},
        {"POST", kConfigMaps, "{}", "application/vnd.kubernetes.protobuf", 400, "BadRequest"},
        {"POST", kConfigMaps, "{}", "text/plain", 415, "UnsupportedMediaType"},
        {"PATCH", one.c_str(), "{}", "application/json", 415, "UnsupportedMediaType"},
        {"POST", kConfigMaps, "{nonsense", "application/json", 400, "BadRequest"},
        {"POST", kConfigMaps, "[]", "application/json", 400, "BadRequest"},
        {"POST", kConfigMaps, big.c_str(), "application/json", 413, "RequestEntityTooLarge"},
        {"PATCH", one.c_str(), "apiVersion: v1\nkind: ConfigMap\n", "application/apply-patch+yaml", 400, "BadRequest"},
        {"POST", "/api/v1/namespaces/shop/configmaps?dryRun=Some", "{}", "", 400, "BadRequest"},
        {"POST", "/api/v1/namespaces/shop/configmaps?fieldValidation=Some", "{}", "", 400, "BadRequest"},
        {"POST", kConfigMaps, R"({"metadata":{"name":"Not Valid"}})", "", 422, "Invalid"},
        {"POST", "/api/v1/namespaces/nowhere/configmaps", R"({"metadata":{"name":"a"}})", "", 404, "NotFound"},
    };
    for (const auto& r : refusals) {
      auto answer = co_await t.call(TestServer::master(), r.method, r.target, r.body, r.type);
      EXPECT_EQ(answer.status, r.status) << r.method << " " << r.target << " " << answer.text.substr(0, 300);
      EXPECT_EQ(base::get_string(answer.json, "kind"), "Status") << r.target;
      EXPECT_EQ(base::get_string(answer.json, "reason"), r.reason) << r.target;
    }
  });
}

TEST(ServerTest, DeniesInKubectlsWords) {
  TestServer t;
  t.run([&]() -> async::Task<> {
    auto answer = co_await t.call(TestServer::user("ann"), "GET", "/api/v1/namespaces/shop/pods/web");
    EXPECT_EQ(answer.status, 403);
    EXPECT_THAT(
        base::get_string(answer.json, "message"),
        HasSubstr(
            R"(pods "web" is forbidden: User "ann" cannot get resource "pods" in API group "" in the namespace "shop")"));
    answer = co_await t.call(TestServer::user("ann"), "GET", "/apis/apps/v1/deployments");
    EXPECT_THAT(
        base::get_string(answer.json, "message"),
        HasSubstr(
            R"(deployments.apps is forbidden: User "ann" cannot list resource "deployments" in API group "apps" at the cluster scope)"));
    answer = co_await t.call(TestServer::user("ann"), "GET", "/apis");
    EXPECT_THAT(base::get_string(answer.json, "message"),
                HasSubstr(R"(forbidden: User "ann" cannot get path "/apis")"));
    // Every refusal is kept.
    EXPECT_EQ(t.audit_lines.size(), 2u + 3u);  // and the two namespaces
    const auto line = base::parse_json(t.audit_lines.back()).value();
    EXPECT_EQ(base::get_string(line, "user.username"), "ann");
    EXPECT_EQ(base::get_int(line, "responseStatus.code"), 403);
  });
}

TEST(ServerTest, AuditsChangesNotReads) {
  TestServer t([](Server& server) {
    Route query = public_route("POST", "/query", "found");
    query.permission = Authenticated{"a test"};
    query.reads_only = true;
    server.add_route(query);
    Route change = public_route("POST", "/change", "done");
    change.permission = Authenticated{"a test"};
    server.add_route(change);
  });
  t.run([&]() -> async::Task<> {
    t.audit_lines.clear();
    const UserInfo root = TestServer::master();
    co_await t.call(root, "GET", kConfigMaps);
    EXPECT_EQ((co_await t.call(root, "POST", "/query", "{}")).text, "found");
    EXPECT_TRUE(t.audit_lines.empty());
    EXPECT_EQ((co_await t.call(root, "POST", "/change", "{}")).text, "done");
    EXPECT_EQ(t.audit_lines.size(), 1u);
    t.audit_lines.clear();
    auto made =
        co_await t.call(root, "POST", kConfigMaps, R"({"metadata":{"generateName":"c-"},"data":{"secret":"hidden"}})");
    EXPECT_EQ(t.audit_lines.size(), 1u);
    const auto line = base::parse_json(t.audit_lines.at(0)).value();
    EXPECT_EQ(base::get_string(line, "auditID"), made.headers.get("Audit-Id"));
    EXPECT_EQ(base::get_string(line, "verb"), "create");
    EXPECT_EQ(base::get_string(line, "objectRef.resource"), "configmaps");
    EXPECT_EQ(base::get_string(line, "objectRef.name"), base::get_string(made.json, "metadata.name"));
    EXPECT_EQ(t.audit_lines.at(0).find("hidden"), std::string::npos);
  });
}

TEST(ServerTest, ServesRoutesWithTheirPermissions) {
  TestServer t([](Server& server) {
    server.add_route(public_route("GET", "/open/{x}", "x="));
    Route user = public_route("GET", "/user", "in");
    user.permission = Authenticated{"a test"};
    server.add_route(user);
    Route guarded = public_route("POST", "/git/{x}/push", "pushed ");
    guarded.permission = Require([](const RequestContext& context) {
      return Attributes{"update", "mainstay.dev", "repositories", "git", "shop", context.params.at("x"), ""};
    });
    guarded.on_denied = [](const RequestContext&, int status, const std::string&) {
      net::Response response = net::Response::text(status, "own words");
      response.headers.set("WWW-Authenticate", "Basic realm=\"git\"");
      return response;
    };
    server.add_route(guarded);
    Route broken = public_route("GET", "/broken", "");
    broken.handler = [](std::shared_ptr<RequestContext>) -> async::Task<net::Response> {
      throw std::runtime_error("secret detail");
    };
    server.add_route(broken);
  });
  t.run([&]() -> async::Task<> {
    const UserInfo nobody, ann = TestServer::user("ann");
    EXPECT_EQ((co_await t.call(nobody, "GET", "/open/1")).text, "x=1");
    EXPECT_EQ((co_await t.call(nobody, "GET", "/user")).status, 401);
    EXPECT_EQ((co_await t.call(ann, "GET", "/user")).text, "in");
    auto denied = co_await t.call(nobody, "POST", "/git/web/push");
    EXPECT_EQ(denied.status, 401);
    EXPECT_EQ(denied.text, "own words");
    EXPECT_EQ(denied.headers.get("WWW-Authenticate"), "Basic realm=\"git\"");
    EXPECT_EQ((co_await t.call(ann, "POST", "/git/web/push")).status, 403);
    EXPECT_EQ((co_await t.call(TestServer::master(), "POST", "/git/web/push")).text, "pushed web");
    auto wrong = co_await t.call(ann, "GET", "/git/web/push");
    EXPECT_EQ(wrong.status, 405);
    EXPECT_EQ(wrong.headers.get("Allow"), "POST");
    auto broken = co_await t.call(ann, "GET", "/broken");
    EXPECT_EQ(broken.status, 500);
    EXPECT_EQ(broken.text.find("secret detail"), std::string::npos);
    // A bad credential is told in the route's own words, too.
    auto request = TestServer::request("POST", "/git/web/push");
    request->headers.set("Authorization", "Bearer nonsense");
    net::Response response = co_await t.server->handle(request);
    EXPECT_EQ(response.status, 401);
    EXPECT_EQ(response.headers.get("WWW-Authenticate"), "Basic realm=\"git\"");
  });
}

TEST(ServerTest, RefusesARouteWithoutPermission) {
  async::Runtime runtime(1);
  base::Config config;
  base::Metrics metrics;
  store::Backend store(runtime, store::open_memory(), {}, metrics);
  AuditLog audit(runtime, "/nonexistent/audit.log");
  Server server({runtime, config, base::real_clock(), metrics, store, audit});
  Route route = public_route("GET", "/x", "");
  route.permission = std::monostate();
  server.add_route(route);
  auto started = server.start();
  ASSERT_FALSE(started);
  EXPECT_THAT(started.error().message, HasSubstr("GET /x"));
}

TEST(ServerTest, ServesRegisteredSubresources) {
  TestServer t([](Server& server) {
    Server::Subresource log{"", "pods", "log", "GET", "get", "The log", {}};
    log.handler = [](std::shared_ptr<RequestContext> context) -> async::Task<net::Response> {
      co_return net::Response::text(200, "log of " + context->params["namespace"] + "/" + context->params["name"]);
    };
    server.add_subresource(log);
  });
  t.run([&]() -> async::Task<> {
    const UserInfo root = TestServer::master();
    EXPECT_EQ((co_await t.call(root, "GET", "/api/v1/namespaces/shop/pods/web/log")).text, "log of shop/web");
    EXPECT_EQ((co_await t.call(root, "POST", "/api/v1/namespaces/shop/pods/web/log")).status, 405);
    EXPECT_EQ((co_await t.call(root, "GET", "/api/v1/namespaces/shop/pods/web/exec")).status, 404);
    auto denied = co_await t.call(TestServer::user("ann"), "GET", "/api/v1/namespaces/shop/pods/web/log");
    EXPECT_THAT(denied.text, HasSubstr("cannot get resource \\\"pods/log\\\""));
    auto discovery = co_await t.call(root, "GET", "/api/v1");
    EXPECT_THAT(discovery.text, HasSubstr(R"("name":"pods/log")"));
  });
}

TEST(ServerTest, RunsAdmissionMutatingFirst) {
  std::vector<std::string> order;
  TestServer t([&](Server& server) {
    AdmissionPlugin check{"check", false, [](const AdmissionRequest& r) { return r.type->plural == "configmaps"; }, {}};
    check.admit = [&order](AdmissionRequest& request) -> async::Task<> {
      order.push_back("check");
      if (request.object && base::label(*request.object, "stamp") != "yes") throw base::forbidden("no stamp");
      co_return;
    };
    server.add_admission(check);
    AdmissionPlugin stamp{
        "stamp", true, [](const AdmissionRequest& r) { return r.type->plural == "configmaps" && r.object; }, {}};
    stamp.admit = [&order](AdmissionRequest& request) -> async::Task<> {
      order.push_back("stamp");
      if (base::get_string(*request.object, "metadata.name") != "bare")
        base::set(*request.object, {"metadata", "labels", "stamp"}, "yes");
      co_return;
    };
    server.add_admission(stamp);
  });
  t.run([&]() -> async::Task<> {
    auto made = co_await t.call(TestServer::master(), "POST", kConfigMaps, R"({"metadata":{"name":"a"}})");
    EXPECT_EQ(base::label(made.json, "stamp"), "yes") << made.text;
    EXPECT_EQ(order, (std::vector<std::string>{"stamp", "check"}));
    EXPECT_EQ((co_await t.call(TestServer::master(), "POST", kConfigMaps, R"({"metadata":{"name":"bare"}})")).status,
              403);
  });
}

TEST(ServerTest, WarnsOfUnknownFields) {
  TestServer t;
  t.run([&]() -> async::Task<> {
    auto made =
        co_await t.call(TestServer::master(), "POST", kConfigMaps, R"({"metadata":{"name":"a"},"dta":{"k":"v"}})");
    EXPECT_EQ(made.status, 201);
    EXPECT_THAT(std::string(made.headers.get("Warning")), HasSubstr("299 - \"unknown field"));
    auto strict = co_await t.call(TestServer::master(), "POST", std::string(kConfigMaps) + "?fieldValidation=Strict",
                                  R"({"metadata":{"name":"b"},"dta":{"k":"v"}})");
    EXPECT_EQ(strict.status, 400);
  });
}

TEST(ServerTest, CountsRequests) {
  TestServer t;
  t.run([&]() -> async::Task<> {
    co_await t.call(TestServer::master(), "GET", kConfigMaps);
    const std::string text = t.metrics.scrape();
    EXPECT_THAT(text, HasSubstr("apiserver_request_total{"));
    EXPECT_THAT(text, HasSubstr("verb=\"LIST\""));
    EXPECT_THAT(text, HasSubstr("apiserver_request_duration_seconds_bucket"));
  });
}

TEST(ServerTest, BoundsWhatOneUserHasUnderWay) {
  auto gate = std::make_shared<std::unique_ptr<async::Event>>();
  TestServer t([&](Server& server) {
    AdmissionPlugin slow{"slow", false, [](const AdmissionRequest& r) { return r.type->plural == "configmaps"; }, {}};
    slow.admit = [gate](AdmissionRequest&) -> async::Task<> { co_await (*gate)->wait(); };
    server.add_admission(slow);
  });
  t.run([&]() -> async::Task<> {
    *gate = std::make_unique<async::Event>(t.runtime.executor());
    co_await t.must("POST", "/apis/rbac.authorization.k8s.io/v1/clusterroles",
                    R"({"metadata":{"name":"all"},"rules":[{"apiGroups":["*"],"resources":["*"],"verbs":["*"]}]})");
    co_await t.must(
        "POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
        R"({"metadata":{"name":"all"},"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"all"},"subjects":[{"kind":"Group","apiGroup":"rbac.authorization.k8s.io","name":"system:authenticated"}]})");
    async::TaskGroup group(t.runtime.executor(), "burst");
    std::map<int, int> answers;
    std::function<async::Task<>()> one = [&]() -> async::Task<> {
      auto answer =
          co_await t.call(TestServer::user("ann"), "POST", kConfigMaps, R"({"metadata":{"generateName":"c-"}})");
      ++answers[answer.status];
      if (answer.status == 429) EXPECT_EQ(answer.headers.get("Retry-After"), "1");
    };
    for (int i = 0; i < 250; ++i) group.spawn("one", one());
    while (answers[429] < 50) co_await async::sleep_for(std::chrono::milliseconds(1));
    EXPECT_EQ((co_await t.call(TestServer::user("bob"), "GET", kConfigMaps)).status, 200);
    (*gate)->notify_all();
    co_await group.join();
    EXPECT_EQ(answers[429], 50);
    EXPECT_EQ(answers[201], 200);
  });
}

}  // namespace
}  // namespace mainstay::api
