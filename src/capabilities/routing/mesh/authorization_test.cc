#include "capabilities/routing/mesh/authorization.h"

#include <gtest/gtest.h>

#include "base/yaml.h"

namespace mainstay::mesh {
namespace {

const std::string kWeb = spiffe_id("localhost", "shop-dev", "web"),
                  kOther = spiffe_id("localhost", "shop-dev", "other"),
                  kBank = spiffe_id("localhost", "bank-dev", "web"),
                  kEdge = spiffe_id("localhost", "mainstay-system", "edge");

client::ObjectPtr policy(const std::string& ns, const std::string& spec) {
  return std::make_shared<const json::value>(*base::parse_yaml("metadata: {namespace: " + ns + "}\nspec: " + spec));
}
Rules rules(const std::vector<client::ObjectPtr>& policies) {
  const json::value pod = *base::parse_yaml("metadata: {namespace: shop-dev, labels: {app: db}}");
  return rules_of(pod, policies, {"shop", "shop-dev"}, {kEdge});
}

TEST(Authorization, IdentitiesNameTheirNamespace) {
  EXPECT_EQ(kWeb, "spiffe://localhost/ns/shop-dev/sa/web");
  EXPECT_EQ(namespace_of(kWeb), "shop-dev");
  EXPECT_EQ(namespace_of("https://localhost/ns/x/sa/y"), "");
  EXPECT_EQ(namespace_of("spiffe://localhost/workload"), "");
}

TEST(Authorization, PrincipalsThatNobodyCanProveAreFaults) {
  const auto fields = [](const std::string& spec) {
    std::string out;
    for (const base::Cause& cause : policy_faults(*base::parse_yaml("spec: " + spec), "localhost"))
      out += (out.empty() ? "" : ",") + cause.field;
    return out;
  };
  EXPECT_EQ(fields("{rules: [{principals: ['*', '" + kWeb + "', 'spiffe://localhost/ns/*']}]}"), "");
  EXPECT_EQ(fields("{rules: [{}, {principals: [cluster.local/ns/shop-dev/sa/web]}]}"), "spec.rules[1].principals[0]");
  EXPECT_EQ(fields("{rules: [{principals: ['*/sa/web', 'spiffe://localhost/*/sa/web', 'spiffe://other/ns/a/sa/b']}]}"),
            "spec.rules[0].principals[0],spec.rules[0].principals[1],spec.rules[0].principals[2]");
  EXPECT_EQ(fields("{selector: {matchExpressions: [{key: a, operator: In}]}}"), "spec.selector");
}

TEST(Authorization, ByDefaultTheTeamAndTheEdge) {
  const Rules r = rules({});
  EXPECT_TRUE(allowed(r, kWeb, 8080));
  EXPECT_TRUE(allowed(r, kEdge, 8080));
  EXPECT_FALSE(allowed(r, kBank, 8080));
  EXPECT_FALSE(allowed(r, "", 8080));
}

TEST(Authorization, AnAllowReplacesTheDefault) {
  const Rules r = rules({policy(
      "shop-dev", "{selector: {matchLabels: {app: db}}, rules: [{principals: ['" + kWeb + "'], ports: [5432]}]}")});
  EXPECT_TRUE(allowed(r, kWeb, 5432));
  EXPECT_FALSE(allowed(r, kWeb, 9000));
  EXPECT_FALSE(allowed(r, kOther, 5432));
  EXPECT_FALSE(allowed(r, kEdge, 5432));
}

TEST(Authorization, ADenyComesFirstAndKeepsTheDefault) {
  const Rules r =
      rules({policy("shop-dev", "{action: DENY, rules: [{principals: ['spiffe://localhost/ns/shop-dev/sa/o*']}]}")});
  EXPECT_FALSE(allowed(r, kOther, 80));
  EXPECT_TRUE(allowed(r, kWeb, 80));
  EXPECT_TRUE(allowed(r, kEdge, 80));
}

TEST(Authorization, AnAllowWithoutRulesAllowsNobodyAndAnEmptyRuleEverybody) {
  EXPECT_FALSE(allowed(rules({policy("shop-dev", "{}")}), kWeb, 80));
  EXPECT_TRUE(allowed(rules({policy("shop-dev", "{rules: [{}]}")}), kBank, 80));
}

TEST(Authorization, OtherNamespacesAndOtherPodsAreNotMeant) {
  const Rules r = rules({policy("bank-dev", "{}"), policy("shop-dev", "{selector: {matchLabels: {app: web}}}")});
  EXPECT_TRUE(allowed(r, kWeb, 80));
}

TEST(Authorization, RulesTravelAsJson) {
  const Rules r = rules({policy("shop-dev", "{rules: [{namespaces: [bank-dev], ports: [80, 443]}]}")});
  EXPECT_EQ(rules_from_json(to_json(r)), r);
}

}  // namespace
}  // namespace mainstay::mesh
