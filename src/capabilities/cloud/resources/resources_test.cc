#include <gtest/gtest.h>

#include "capabilities/cloud/resources/claim_cost.h"
#include "capabilities/cloud/resources/classes.h"
#include "capabilities/cloud/resources/postgres_server.h"
#include "capabilities/cloud/resources/redis_driver.h"

namespace mainstay::cloud {
namespace {
namespace json = boost::json;

client::ObjectPtr cls(std::string name, std::string type, json::array environments = {}) {
  return std::make_shared<const json::value>(json::value{
      {"metadata", {{"name", name}}}, {"spec", {{"type", type}, {"environments", std::move(environments)}}}});
}

std::string chosen(const std::string& type, const std::string& name, const std::string& environment) {
  const std::vector<client::ObjectPtr> all{cls("postgres", "postgres"), cls("big", "postgres"),
                                           cls("safe", "postgres", {"prod"}), cls("redis", "redis", {"dev"})};
  auto found = choose_class(all, type, name, environment);
  return found ? base::get_string(**found, "metadata.name") : "! " + found.error().message;
}

TEST(Classes, TheOneThatNamesTheEnvironmentGoesFirst) {
  EXPECT_EQ(chosen("postgres", "", "prod"), "safe");
  EXPECT_EQ(chosen("postgres", "", "dev"), "big") << "then by name";
  EXPECT_EQ(chosen("postgres", "postgres", "prod"), "postgres") << "a name decides";
}

TEST(Classes, RefusalsSayWhatThereIs) {
  EXPECT_EQ(chosen("postgres", "safe", "dev"), "! class safe is not for the environment \"dev\"");
  EXPECT_EQ(chosen("postgres", "redis", "dev"),
            "! there is no class \"redis\" of type postgres (there are: big, postgres, safe)");
  EXPECT_EQ(chosen("mysql", "", "prod"),
            "! no class provides type \"mysql\" in the environment \"prod\" (types there: postgres)");
}

TEST(Classes, AnIdIsOfTheNamespaceAndTheName) {
  EXPECT_EQ(claim_id("u1", "db").size(), 20u);
  EXPECT_EQ(claim_id("u1", "db"), claim_id("u1", "db"));
  EXPECT_NE(claim_id("u1", "db"), claim_id("u2", "db"));
  EXPECT_NE(claim_id("u1", "db"), claim_id("u1", "db2"));
}

TEST(Postgres, QuotesWhatItIsGiven) {
  EXPECT_EQ(sql_literal("it's"), "'it''s'");
  EXPECT_EQ(sql_literal(std::string_view("a\0b", 3)), "'ab'");
  EXPECT_EQ(sql_identifier("a\"b"), "\"a\"\"b\"");
}

TEST(Params, WhatTheDriverDoesNotKnowIsRefused) {
  platform::ClaimRequest claim;
  EXPECT_TRUE(platform::check_params(claim, {}));
  claim.params = {{"size", "1Gi"}};
  EXPECT_TRUE(platform::check_params(claim, {"quota", "size"}));
  EXPECT_EQ(platform::check_params(claim, {"quota"}).error().message, "params.size is not known here; there is: quota");
  EXPECT_EQ(platform::check_params(claim, {}).error().message, "params.size is not known here; there are none");
  claim.parameters = {{"sice", "1Gi"}};
  EXPECT_EQ(platform::check_params(claim, {"size"}).error().message,
            "the class's parameters.sice is not known here; there is: size");
}

TEST(ClaimCost, IsTheClassesThenTheLists) {
  const auto parse = [](const char* text) { return base::parse_json(text).value(); };
  const auto claim = parse(R"({"spec": {"type": "postgres", "params": {"size": "4Gi"}}})");
  const auto prices =
      parse(R"({"spec": {"currency": "CHF", "storageGiBMonth": 0.5, "resources": {"postgres": 8, "big": 40}}})");
  EXPECT_EQ(claim_cost(claim, parse(R"({"metadata": {"name": "big"}})"), prices), "40.00 CHF");
  EXPECT_EQ(claim_cost(claim, parse(R"({"metadata": {"name": "any"}})"), prices), "8.00 CHF");
  EXPECT_EQ(claim_cost(claim, parse(R"({"spec": {"monthlyCost": "3.00 EUR"}})"), prices), "3.00 EUR");
  EXPECT_EQ(claim_cost(parse(R"({"spec": {"type": "redis"}})"), {}, prices), "no price");
  EXPECT_EQ(claim_cost(parse(R"({"spec": {"type": "volume", "params": {"size": "4Gi"}}})"),
                       parse(R"({"spec": {"driver": "volume"}})"), prices),
            "2.00 CHF");
  EXPECT_EQ(claim_cost(claim, {}, {}), "no price");
}

TEST(ClaimDashboard, IsTheClassesOrThePlatforms) {
  const reconcile::Name name{"shop-dev", "web-db"};
  EXPECT_EQ(claim_dashboard(name, "postgres", "shop", "https://g/{namespace}/{name}", ""), "https://g/shop-dev/web-db");
  EXPECT_EQ(claim_dashboard(name, "postgres", "shop", "", "https://m:6443"),
            "https://m:6443/console/teams/shop/dashboards/kube-system/"
            "resource-postgres?var-namespace=shop-dev&var-claim=web-db");
  EXPECT_NE(claim_dashboard(name, "terraform", "shop", "", "").find("/resource?"), std::string::npos);
  EXPECT_EQ(claim_dashboard(name, "postgres", "", "", "https://m"), "");
}

TEST(RedisConfiguration, OpensNoConnectionsToOthers) {
  const std::string text = redis_configuration("10.0.0.1", 6379, std::string(64, 'a'), 64);
  for (const char* command : {" -@admin ", " -migrate ", " -replicaof ", " -cluster ", " -module "})
    EXPECT_NE(text.find(command), std::string::npos) << command;
}

TEST(RedisFigures, AreReadFromInfo) {
  const auto out = redis_figures("# Memory\r\nused_memory:1024\r\nmaxmemory:67108864\r\ndb0:keys=3,expires=0\r\n");
  EXPECT_EQ(out.at("memory_bytes"), 1024);
  EXPECT_EQ(out.at("memory_limit_bytes"), 67108864);
  EXPECT_EQ(out.at("keys"), 3);
  EXPECT_EQ(redis_figures("used_memory:7\r\n").at("keys"), 0);
  EXPECT_TRUE(redis_figures("NOAUTH Authentication required.").empty());
}

}  // namespace
}  // namespace mainstay::cloud
