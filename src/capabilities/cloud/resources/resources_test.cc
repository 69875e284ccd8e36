#include <gtest/gtest.h>

#include "capabilities/cloud/resources/classes.h"
#include "capabilities/cloud/resources/postgres_server.h"

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

}  // namespace
}  // namespace mainstay::cloud
