#include <gtest/gtest.h>

#include "capabilities/identity/team_reconcile.h"
#include "capabilities/identity/tokens.h"
#include "crypto/digest.h"

namespace mainstay::identity {
namespace {

json::value team(std::string_view text) { return boost::json::parse(text); }

TEST(Team, WithoutEnvironmentsHasDev) {
  const auto namespaces = team_namespaces(team(R"({"metadata":{"name":"shop"}})"));
  ASSERT_EQ(namespaces.size(), 2u);
  EXPECT_EQ(namespaces[0].name, "shop");
  EXPECT_EQ(namespaces[0].environment, "");
  EXPECT_EQ(namespaces[1].name, "shop-dev");
}

TEST(Team, KeepsTheOrderOfEnvironments) {
  const auto namespaces = team_namespaces(
      team(R"({"metadata":{"name":"shop"},"spec":{"environments":[{"name":"staging"},{"name":"prod"}]}})"));
  ASSERT_EQ(namespaces.size(), 3u);
  EXPECT_EQ(namespaces[1].name, "shop-staging");
  EXPECT_EQ(namespaces[2].environment, "prod");
}

TEST(Team, OnlyItsOwnNamespaceHasAPipelineAccount) {
  const auto t = team(R"({"metadata":{"name":"shop"}})");
  const auto count = [&](const TeamNamespace& ns) {
    const auto wanted = wanted_objects(t, ns);
    return std::count_if(wanted.begin(), wanted.end(),
                         [](const Wanted& w) { return w.resource == client::resources::kServiceAccounts; });
  };
  EXPECT_EQ(count({"shop", ""}), 1);
  EXPECT_EQ(count({"shop-dev", "dev"}), 0);
}

TEST(Team, GroupsFollowMembership) {
  const auto t = std::make_shared<const json::value>(
      team(R"({"metadata":{"name":"shop"},"spec":{"members":[{"user":"ann","role":"owner"},{"user":"ben"}]}})"));
  EXPECT_EQ(team_groups({t}, "ann"), (std::vector<std::string>{"team:shop", "team:shop:owner"}));
  EXPECT_EQ(team_groups({t}, "ben"), (std::vector<std::string>{"team:shop", "team:shop:developer"}));
  EXPECT_TRUE(team_groups({t}, "eve").empty());
}

TEST(Tokens, PersonalOnesKeepOnlyAHash) {
  const PersonalToken token = make_personal_token();
  EXPECT_TRUE(token.text.starts_with("mst_" + token.id + "_"));
  const std::string secret = token.text.substr(token.text.rfind('_') + 1);
  EXPECT_EQ(token.hash, crypto::sha256_hex(secret));
  EXPECT_EQ(token.hash.find(secret), std::string::npos);
  EXPECT_NE(make_personal_token().text, token.text);
}

TEST(Tokens, ClaimsOfAServiceAccount) {
  ServiceAccountToken token;
  token.ns = "shop";
  token.account = "pipeline";
  token.account_uid = "u1";
  token.pod = "p";
  token.pod_uid = "u2";
  token.workflow_run = "shop/web-1";
  token.audiences = {"https://x"};
  const json::value claims = service_account_claims(token, "https://x", base::SystemTime(std::chrono::seconds(1000)));
  EXPECT_EQ(base::get_string(claims, "sub"), "system:serviceaccount:shop:pipeline");
  EXPECT_EQ(base::get_int(claims, "exp"), 4600);
  EXPECT_EQ(base::find(claims, {"kubernetes.io", "pod", "uid"})->as_string(), "u2");
  EXPECT_EQ(base::find(claims, {"mainstay.dev/workflow-run"})->as_string(), "shop/web-1");
}

}  // namespace
}  // namespace mainstay::identity
