#include "api/auth.h"

#include <gtest/gtest.h>

#include "api/rbac.h"
#include "api/test_server.h"
#include "base/encoding.h"
#include "base/status.h"
#include "base/yaml.h"
#include "crypto/keys.h"

namespace mainstay::api {
namespace {
namespace json = base::json;

json::value yaml(std::string_view text) { return base::parse_yaml(text).value(); }

// verb resource[.group][/sub] [name]   or   verb /path
Attributes attributes(std::string_view text, std::string ns = "shop") {
  Attributes what;
  std::istringstream in{std::string(text)};
  std::string of;
  in >> what.verb >> of >> what.name;
  if (of.starts_with("/")) {
    what.path = of;
    return what;
  }
  what.ns = std::move(ns);
  if (auto slash = of.find('/'); slash != std::string::npos) {
    what.subresource = of.substr(slash + 1);
    of.resize(slash);
  }
  const auto dot = of.find('.');
  what.resource = of.substr(0, dot);
  if (dot != std::string::npos) what.group = of.substr(dot + 1);
  return what;
}

struct RuleCase {
  const char *rule, *what;
  bool allowed;
};

TEST(RuleTest, MatchesAsUpstreamDocuments) {
  const std::vector<RuleCase> cases{
      {"{apiGroups: [''], resources: [pods], verbs: [get, list]}", "get pods", true},
      {"{apiGroups: [''], resources: [pods], verbs: [get, list]}", "delete pods", false},
      {"{apiGroups: [''], resources: [pods], verbs: [get]}", "get pods/log", false},
      {"{apiGroups: [''], resources: [pods/log], verbs: [get]}", "get pods/log", true},
      {"{apiGroups: [''], resources: [pods/log], verbs: [get]}", "get pods", false},
      {"{apiGroups: [''], resources: [pods], verbs: [get]}", "get pods.apps", false},
      {"{apiGroups: ['*'], resources: [pods], verbs: [get]}", "get pods.apps", true},
      {"{apiGroups: [apps], resources: ['*'], verbs: ['*']}", "delete deployments.apps/scale", true},
      {"{apiGroups: [apps], resources: ['*/scale'], verbs: [update]}", "update deployments.apps/scale", true},
      {"{apiGroups: [apps], resources: ['*/scale'], verbs: [update]}", "update deployments.apps", false},
      {"{apiGroups: [apps], resources: ['*/scale'], verbs: [update]}", "update deployments.apps/status", false},
      {"{apiGroups: [''], resources: [configmaps], resourceNames: [a, b], verbs: [get]}", "get configmaps b", true},
      {"{apiGroups: [''], resources: [configmaps], resourceNames: [a, b], verbs: [get]}", "get configmaps c", false},
      {"{apiGroups: [''], resources: [configmaps], resourceNames: [a, b], verbs: [list]}", "list configmaps", false},
      {"{nonResourceURLs: [/healthz, '/api/*'], verbs: [get]}", "get /healthz", true},
      {"{nonResourceURLs: [/healthz, '/api/*'], verbs: [get]}", "get /api/v1", true},
      {"{nonResourceURLs: [/healthz, '/api/*'], verbs: [get]}", "get /apis", false},
      {"{nonResourceURLs: [/healthz], verbs: [get]}", "post /healthz", false},
      {"{nonResourceURLs: ['*'], verbs: ['*']}", "post /anything", true},
      {"{nonResourceURLs: ['*'], verbs: ['*']}", "get pods", false},
      {"{apiGroups: ['*'], resources: ['*'], verbs: ['*']}", "get /healthz", false},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(Rule::parse(yaml(c.rule)).allows(attributes(c.what)), c.allowed) << c.rule << "  " << c.what;
  }
}

TEST(RuleTest, CoversOnlyWhatIsHeld) {
  const std::vector<Rule> held{
      Rule::parse(yaml("{apiGroups: [''], resources: [pods, services], verbs: [get, list]}")),
      Rule::parse(yaml("{apiGroups: [''], resources: [secrets], resourceNames: [tls], verbs: [get]}")),
      Rule::parse(yaml("{apiGroups: [apps], resources: ['*/scale'], verbs: ['*']}")),
      Rule::parse(yaml("{nonResourceURLs: ['/api/*'], verbs: [get]}"))};
  auto covered = [&](std::string_view rule) { return covers(held, Rule::parse(yaml(rule))); };
  EXPECT_TRUE(covered("{apiGroups: [''], resources: [services], verbs: [list]}"));
  EXPECT_TRUE(covered("{apiGroups: [''], resources: [services], resourceNames: [web], verbs: [list]}"));
  EXPECT_FALSE(covered("{apiGroups: [''], resources: [services], verbs: [list, delete]}"));
  EXPECT_FALSE(covered("{apiGroups: [''], resources: ['*'], verbs: [list]}"));
  EXPECT_FALSE(covered("{apiGroups: ['*'], resources: [pods], verbs: [list]}"));
  EXPECT_TRUE(covered("{apiGroups: [''], resources: [secrets], resourceNames: [tls], verbs: [get]}"));
  EXPECT_FALSE(covered("{apiGroups: [''], resources: [secrets], verbs: [get]}"));
  EXPECT_TRUE(covered("{apiGroups: [apps], resources: [deployments/scale], verbs: [patch]}"));
  EXPECT_FALSE(covered("{apiGroups: [apps], resources: [deployments], verbs: [patch]}"));
  EXPECT_TRUE(covered("{nonResourceURLs: [/api/v1], verbs: [get]}"));
  EXPECT_FALSE(covered("{nonResourceURLs: ['*'], verbs: [get]}"));
}

TEST(RuleTest, RefusesToJudgeMonsters) {
  json::array many;
  for (int i = 0; i < 2000; ++i) many.emplace_back(json::value("r" + std::to_string(i)));
  json::value monster = json::object{{"apiGroups", json::array{"*"}}, {"resources", many}, {"verbs", many}};
  const std::vector<Rule> held{Rule::parse(yaml("{apiGroups: ['*'], resources: ['*'], verbs: ['*']}"))};
  EXPECT_FALSE(covers(held, Rule::parse(monster)));
}

constexpr std::string_view kRbacPath = "/apis/rbac.authorization.k8s.io/v1/";

async::Task<> make(TestServer* t, std::string path, std::string text) {
  co_await t->must("POST", std::string(kRbacPath) + path, std::move(text), "application/yaml");
}

TEST(AuthorizerTest, FollowsBindings) {
  TestServer t;
  t.run([&]() -> async::Task<> {
    const Authorizer& rbac = t.server->authorizer();
    const UserInfo ann = TestServer::user("ann", {"team:shop:developer"});
    auto may = [&](const UserInfo& user, std::string_view what, std::string ns = "shop") {
      return rbac.authorize(user, attributes(what, std::move(ns))).allowed;
    };
    EXPECT_FALSE(may(ann, "get pods"));
    EXPECT_TRUE(may(TestServer::master(), "get pods"));
    co_await make(&t, "clusterroles",
                  "{metadata: {name: reader}, rules: [{apiGroups: [''], resources: [pods], verbs: [get]}]}");
    EXPECT_FALSE(may(ann, "get pods"));
    co_await make(
        &t, "namespaces/shop/rolebindings",
        "{metadata: {name: readers}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: reader}, "
        "subjects: [{kind: Group, apiGroup: rbac.authorization.k8s.io, name: 'team:shop:developer'}, {kind: "
        "ServiceAccount, name: "
        "bot, namespace: shop}]}");
    EXPECT_TRUE(may(ann, "get pods"));
    EXPECT_FALSE(may(ann, "get pods", "default"));
    EXPECT_FALSE(may(ann, "get pods", ""));
    EXPECT_TRUE(may(TestServer::user("system:serviceaccount:shop:bot"), "get pods"));
    EXPECT_FALSE(may(TestServer::user("system:serviceaccount:default:bot"), "get pods"));
    EXPECT_EQ(rbac.authorize(ann, attributes("get pods")).reason,
              "RBAC: allowed by RoleBinding \"readers\" of ClusterRole \"reader\"");
    // A role changed is felt at once, and so is a binding that goes.
    co_await t.must("PATCH", std::string(kRbacPath) + "clusterroles/reader",
                    R"({"rules":[{"apiGroups":[""],"resources":["services"],"verbs":["get"]}]})",
                    "application/merge-patch+json");
    EXPECT_FALSE(may(ann, "get pods"));
    EXPECT_TRUE(may(ann, "get services"));
    EXPECT_EQ(rbac.rules_for(ann, "shop").size(), 1u);
    co_await t.must("DELETE", std::string(kRbacPath) + "namespaces/shop/rolebindings/readers");
    EXPECT_FALSE(may(ann, "get services"));
    EXPECT_TRUE(rbac.rules_for(ann, "shop").empty());
  });
}

TEST(AuthorizerTest, AggregatesClusterRoles) {
  TestServer t;
  t.run([&]() -> async::Task<> {
    co_await make(
        &t, "clusterroles",
        "{metadata: {name: edit}, aggregationRule: {clusterRoleSelectors: [{matchLabels: {to-edit: 'true'}}]}}");
    co_await make(&t, "clusterroles",
                  "{metadata: {name: view, labels: {to-edit: 'true'}}, aggregationRule: {clusterRoleSelectors: "
                  "[{matchLabels: {to-view: "
                  "'true'}}, {matchLabels: {to-edit: 'true'}}]}}");
    co_await make(&t, "clusterroles",
                  "{metadata: {name: part, labels: {to-view: 'true'}}, rules: [{apiGroups: [''], resources: [pods], "
                  "verbs: [list]}]}");
    co_await make(&t, "clusterrolebindings",
                  "{metadata: {name: editors}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: "
                  "edit}, subjects: "
                  "[{kind: User, apiGroup: rbac.authorization.k8s.io, name: bob}]}");
    EXPECT_TRUE(t.server->authorizer().authorize(TestServer::user("bob"), attributes("list pods", "")).allowed);
    EXPECT_FALSE(t.server->authorizer().authorize(TestServer::user("bob"), attributes("get pods", "")).allowed);
  });
}

TEST(AuthorizerTest, NobodyGrantsMoreThanTheyHave) {
  TestServer t;
  t.run([&]() -> async::Task<> {
    co_await make(&t, "namespaces/shop/roles",
                  "{metadata: {name: owner}, rules: [{apiGroups: [rbac.authorization.k8s.io], resources: [roles, "
                  "rolebindings], verbs: ['*']}, "
                  "{apiGroups: [''], resources: [pods], verbs: [get, list]}]}");
    co_await make(&t, "clusterroles",
                  "{metadata: {name: all}, rules: [{apiGroups: ['*'], resources: ['*'], verbs: ['*']}]}");
    co_await make(&t, "namespaces/shop/rolebindings",
                  "{metadata: {name: owners}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: owner}, "
                  "subjects: [{kind: User, "
                  "apiGroup: rbac.authorization.k8s.io, name: ann}]}");
    const UserInfo ann = TestServer::user("ann");
    const std::string roles = std::string(kRbacPath) + "namespaces/shop/roles",
                      bindings = std::string(kRbacPath) + "namespaces/shop/rolebindings";
    // The wildcard verb holds escalate and bind too, so take it away first.
    co_await t.must(
        "PUT", roles + "/owner",
        R"({"metadata":{"name":"owner"},"rules":[{"apiGroups":["rbac.authorization.k8s.io"],"resources":["roles","rolebindings"],"verbs":["create","update","patch"]},{"apiGroups":[""],"resources":["pods"],"verbs":["get","list"]}]})");
    auto answer = co_await t.call(ann, "POST", roles,
                                  "{metadata: {name: r1}, rules: [{apiGroups: [''], resources: [pods], verbs: [get]}]}",
                                  "application/yaml");
    EXPECT_EQ(answer.status, 201) << answer.text;
    answer = co_await t.call(ann, "POST", roles,
                             "{metadata: {name: r2}, rules: [{apiGroups: [''], resources: [secrets], verbs: [get]}]}",
                             "application/yaml");
    EXPECT_EQ(answer.status, 403);
    EXPECT_NE(answer.text.find("attempting to grant RBAC permissions not currently held"), std::string::npos)
        << answer.text;
    answer = co_await t.call(ann, "PATCH", roles + "/r1",
                             R"({"rules":[{"apiGroups":["*"],"resources":["*"],"verbs":["*"]}]})",
                             "application/merge-patch+json");
    EXPECT_EQ(answer.status, 403);
    answer = co_await t.call(ann, "POST", bindings,
                             "{metadata: {name: b1}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, "
                             "name: all}, subjects: "
                             "[{kind: User, apiGroup: rbac.authorization.k8s.io, name: ann}]}",
                             "application/yaml");
    EXPECT_EQ(answer.status, 403) << answer.text;
    answer = co_await t.call(ann, "POST", bindings,
                             "{metadata: {name: b2}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: "
                             "r1}, subjects: [{kind: "
                             "User, apiGroup: rbac.authorization.k8s.io, name: bob}]}",
                             "application/yaml");
    EXPECT_EQ(answer.status, 201) << answer.text;
  });
}

TEST(AuthorizerTest, AGrantOfVeryManyThingsIsNotComparedForMinutes) {
  TestServer t;
  t.run([&]() -> async::Task<> {
    co_await make(&t, "namespaces/shop/roles",
                  "{metadata: {name: owner}, rules: [{apiGroups: [rbac.authorization.k8s.io], resources: [roles], "
                  "verbs: [create]}, {apiGroups: [''], resources: [pods], verbs: [get]}]}");
    co_await make(&t, "namespaces/shop/rolebindings",
                  "{metadata: {name: owners}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: owner}, "
                  "subjects: [{kind: User, apiGroup: rbac.authorization.k8s.io, name: ann}]}");
    const base::json::object rule{{"apiGroups", base::json::array{""}},
                                  {"resources", base::json::array(300, base::json::value("pods"))},
                                  {"verbs", base::json::array(300, base::json::value("get"))}};
    const base::json::value role = base::json::object{{"metadata", base::json::object{{"name", "wide"}}},
                                                      {"rules", base::json::array(100, base::json::value(rule))}};
    const auto answer = co_await t.call(TestServer::user("ann"), "POST",
                                        std::string(kRbacPath) + "namespaces/shop/roles", base::to_json(role));
    EXPECT_EQ(answer.status, 403) << answer.status;
    EXPECT_NE(answer.text.find("too many things"), std::string::npos);
  });
}

async::Task<std::optional<base::Result<UserInfo>>> verify_mst(std::string secret, std::string user_name,
                                                              std::optional<base::SystemTime>) {
  if (!secret.starts_with("mst_")) co_return std::nullopt;
  if (secret != "mst_good") co_return base::Result<UserInfo>(base::fail(base::ErrorCode::kUnauthenticated, "revoked"));
  co_return base::Result<UserInfo>(TestServer::user(user_name.empty() ? "ann" : user_name));
}

net::Request with_authorization(std::string value) {
  net::Request request;
  if (!value.empty()) request.headers.set("Authorization", std::move(value));
  return request;
}

TEST(AuthenticatorTest, TakesEachKindOfCredential) {
  async::Runtime runtime(1);
  Authenticator authenticator;
  authenticator.add("token", verify_mst);
  const auto& clock = base::real_clock();
  const auto authority = crypto::Authority::create("test", clock);
  const auto key = crypto::PrivateKey::generate();
  crypto::CertificateRequest wanted;
  wanted.common_name = "admin";
  wanted.organizations = {"mainstay:admins"};
  wanted.client = true;
  const std::string certificate = authority.issue(wanted, key.public_pem(), clock).value();
  std::function<async::Task<>()> body = [&]() -> async::Task<> {
    net::Request request = with_authorization("Bearer mst_good");
    auto user = co_await authenticator.authenticate(request);
    EXPECT_EQ(user->name, "ann");
    EXPECT_TRUE(user->in_group("system:authenticated"));
    request = with_authorization("bearer mst_bad");
    EXPECT_FALSE(co_await authenticator.authenticate(request));
    request = with_authorization("Bearer other");
    EXPECT_FALSE(co_await authenticator.authenticate(request));
    request = with_authorization("Bearer ");
    EXPECT_FALSE(co_await authenticator.authenticate(request));
    request = with_authorization("Digest x");
    EXPECT_FALSE(co_await authenticator.authenticate(request));
    request = with_authorization("Basic " + base::base64("git:mst_good"));
    EXPECT_EQ((co_await authenticator.authenticate(request))->name, "git");
    request = with_authorization("Basic %%%");
    EXPECT_FALSE(co_await authenticator.authenticate(request));
    request = with_authorization("");
    user = co_await authenticator.authenticate(request);
    EXPECT_TRUE(user->anonymous());
    EXPECT_TRUE(user->in_group("system:unauthenticated"));
    EXPECT_FALSE(user->in_group("system:authenticated"));
    request.client_certificate = certificate;
    for (int i = 0; i < 2; ++i) {
      user = co_await authenticator.authenticate(request);
      EXPECT_EQ(user->name, "admin");
      EXPECT_TRUE(user->in_group("mainstay:admins"));
    }
  };
  runtime.run(body());
}

TEST(AuthenticatorTest, ServiceAccountsHaveTheirGroups) {
  UserInfo user = TestServer::user("system:serviceaccount:shop:pipeline");
  add_implied_groups(user);
  EXPECT_TRUE(user.in_group("system:serviceaccounts"));
  EXPECT_TRUE(user.in_group("system:serviceaccounts:shop"));
  add_implied_groups(user);
  EXPECT_EQ(user.groups.size(), 3u);
}

}  // namespace
}  // namespace mainstay::api
