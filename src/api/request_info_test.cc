#include "api/request_info.h"

#include <gtest/gtest.h>

#include "api/server_impl.h"

namespace mainstay::api {
namespace {

struct PathCase {
  std::string path, group, version, resource, ns, name, subresource, rest;
};

TEST(ObjectPathTest, ReadsEveryForm) {
  const std::vector<PathCase> cases{
      {"/api/v1/pods", "", "v1", "pods", "", "", "", ""},
      {"/api/v1/namespaces", "", "v1", "namespaces", "", "", "", ""},
      {"/api/v1/namespaces/shop", "", "v1", "namespaces", "", "shop", "", ""},
      {"/api/v1/namespaces/shop/finalize", "", "v1", "namespaces", "", "shop", "finalize", ""},
      {"/api/v1/namespaces/shop/status", "", "v1", "namespaces", "", "shop", "status", ""},
      {"/api/v1/namespaces/shop/pods", "", "v1", "pods", "shop", "", "", ""},
      {"/api/v1/namespaces/shop/pods/web", "", "v1", "pods", "shop", "web", "", ""},
      {"/api/v1/namespaces/shop/pods/web/log", "", "v1", "pods", "shop", "web", "log", ""},
      {"/api/v1/namespaces/shop/pods/web/proxy/a/b", "", "v1", "pods", "shop", "web", "proxy", "a/b"},
      {"/apis/apps/v1/deployments", "apps", "v1", "deployments", "", "", "", ""},
      {"/apis/apps/v1/namespaces/shop/deployments/web/scale", "apps", "v1", "deployments", "shop", "web", "scale", ""},
      {"/apis/rbac.authorization.k8s.io/v1/clusterroles/system:discovery", "rbac.authorization.k8s.io", "v1",
       "clusterroles", "", "system:discovery", "", ""},
  };
  for (const auto& c : cases) {
    auto parsed = parse_object_path(c.path);
    ASSERT_TRUE(parsed) << c.path;
    EXPECT_EQ(std::tie(parsed->group, parsed->version, parsed->resource, parsed->ns, parsed->name, parsed->subresource,
                       parsed->rest),
              std::tie(c.group, c.version, c.resource, c.ns, c.name, c.subresource, c.rest))
        << c.path;
  }
  for (const char* path :
       {"/", "/api", "/api/v1", "/apis", "/apis/apps", "/apis/apps/v1", "/healthz", "/git/shop/web"}) {
    EXPECT_FALSE(parse_object_path(path)) << path;
  }
}

TEST(ObjectPathTest, GivesVerbs) {
  const ObjectPath all = *parse_object_path("/api/v1/namespaces/shop/pods"),
                   one = *parse_object_path("/api/v1/namespaces/shop/pods/web");
  const net::Query none, watch = *net::Query::parse("watch=true");
  EXPECT_EQ(object_verb("GET", all, none), "list");
  EXPECT_EQ(object_verb("GET", all, watch), "watch");
  EXPECT_EQ(object_verb("GET", one, none), "get");
  EXPECT_EQ(object_verb("POST", all, none), "create");
  EXPECT_EQ(object_verb("PUT", one, none), "update");
  EXPECT_EQ(object_verb("PATCH", one, none), "patch");
  EXPECT_EQ(object_verb("DELETE", one, none), "delete");
  EXPECT_EQ(object_verb("DELETE", all, none), "deletecollection");
  EXPECT_EQ(object_verb("PUT", all, none), "");
  EXPECT_EQ(object_verb("OPTIONS", all, none), "");
}

TEST(NegotiateTest, PicksTheFirstItCanWrite) {
  auto form = [](std::string_view accept) { return negotiate(accept, true); };
  EXPECT_EQ(form("")->form, Form::kObject);
  EXPECT_EQ(form("*/*")->form, Form::kObject);
  EXPECT_EQ(form("application/vnd.kubernetes.protobuf,application/json")->form, Form::kObject);
  EXPECT_FALSE(form("application/vnd.kubernetes.protobuf"));
  EXPECT_FALSE(form("text/plain"));
  auto table = form(
      "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/"
      "json");
  EXPECT_EQ(table->form, Form::kTable);
  EXPECT_EQ(table->as_version, "v1");
  EXPECT_EQ(form("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1")->form, Form::kPartial);
  EXPECT_EQ(form("application/json;as=Nonsense;g=meta.k8s.io;v=v1,application/json")->form, Form::kObject);
  EXPECT_FALSE(form("application/json;as=Table;v=v9;g=meta.k8s.io"));
  EXPECT_TRUE(form("application/yaml")->yaml);
  EXPECT_FALSE(form("application/json;q=0.1, application/yaml;q=0.2")->form == Form::kTable);
  EXPECT_TRUE(form("application/json;q=0.1, application/yaml;q=0.2")->yaml);
  EXPECT_EQ(negotiate("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", false)->form, Form::kObject);
  auto discovery = form("application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json");
  EXPECT_TRUE(discovery->aggregated_discovery);
  EXPECT_EQ(discovery->as_version, "v2");
}

TEST(BodyKindTest, KnowsMediaTypes) {
  EXPECT_EQ(body_kind(""), BodyKind::kJson);
  EXPECT_EQ(body_kind("application/json; charset=utf-8"), BodyKind::kJson);
  EXPECT_EQ(body_kind("application/yaml"), BodyKind::kYaml);
  EXPECT_EQ(body_kind("application/apply-patch+yaml"), BodyKind::kApplyPatch);
  EXPECT_EQ(body_kind("Application/Merge-Patch+JSON"), BodyKind::kMergePatch);
  EXPECT_EQ(body_kind("application/vnd.kubernetes.protobuf"), BodyKind::kUnsupported);
  EXPECT_EQ(body_kind("text/plain"), BodyKind::kUnsupported);
}

Route route(std::string method, std::string pattern) {
  Route made;
  made.method = std::move(method);
  made.pattern = std::move(pattern);
  return made;
}

TEST(RouteTableTest, PrefersTheMoreExact) {
  const std::vector<Route> routes{route("GET", "/git/{team}/{repo}/info/refs"),
                                  route("*", "/v2/{rest...}"),
                                  route("GET", "/v2"),
                                  route("GET", "/v2/_catalog"),
                                  route("GET", "/{page}"),
                                  route("POST", "/git/{team}/{repo}/info/refs")};
  RouteTable table;
  ASSERT_TRUE(table.build(routes));
  auto match = table.match("GET", "/git/shop/web.git/info/refs");
  ASSERT_EQ(match.route, &routes[0]);
  EXPECT_EQ(match.params["team"], "shop");
  EXPECT_EQ(match.params["repo"], "web.git");
  EXPECT_EQ(table.match("POST", "/git/shop/web.git/info/refs").route, &routes[5]);
  EXPECT_EQ(table.match("HEAD", "/git/shop/web.git/info/refs").route, &routes[0]);
  EXPECT_EQ(table.match("GET", "/v2/_catalog").route, &routes[3]);
  EXPECT_EQ(table.match("PUT", "/v2/_catalog").route, &routes[1]);
  EXPECT_EQ(table.match("PUT", "/v2/a/b/manifests/x").params["rest"], "a/b/manifests/x");
  EXPECT_EQ(table.match("GET", "/v2/").route, &routes[2]);
  EXPECT_EQ(table.match("GET", "/console").params["page"], "console");
  auto wrong = table.match("DELETE", "/git/shop/web.git/info/refs");
  EXPECT_EQ(wrong.route, nullptr);
  EXPECT_EQ(wrong.allowed, "GET, POST");
  EXPECT_EQ(table.match("GET", "/git/shop").route, nullptr);
  EXPECT_TRUE(table.match("GET", "/git/shop").allowed.empty());
}

TEST(RouteTableTest, RefusesTwins) {
  const std::vector<Route> routes{route("GET", "/a"), route("GET", "/a")};
  EXPECT_FALSE(RouteTable().build(routes));
  const std::vector<Route> rest{route("GET", "/{all...}/b")};
  EXPECT_FALSE(RouteTable().build(rest));
}

}  // namespace
}  // namespace mainstay::api
