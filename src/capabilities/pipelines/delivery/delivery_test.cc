#include <gtest/gtest.h>

#include "base/yaml.h"
#include "capabilities/pipelines/delivery/dora.h"

namespace mainstay::pipelines {
namespace {

client::ObjectPtr object(std::string_view yaml) { return std::make_shared<const json::value>(*base::parse_yaml(yaml)); }

const auto kNow = *base::parse_rfc3339("2026-06-15T12:00:00Z");

TEST(Approvals, CountPeopleWhoAreNotAuthors) {
  const auto release = object(R"(
spec: {author: ann, authors: [ann, bob], authorEmails: [cat@example.org]}
status: {approvals: [{environment: prod, by: ann}, {environment: prod, by: dan}, {environment: prod, by: dan}, {environment: dev, by: eve}, {environment: prod, by: "system:serviceaccount:shop:pipeline"}]})");
  const auto anybody = [](const std::string&) { return true; };
  EXPECT_EQ(approvals_for(*release, "prod", anybody), 1);
  EXPECT_EQ(approvals_for(*release, "staging", anybody), 0);
  EXPECT_EQ(approvals_for(*release, "prod", [](const std::string& user) { return user != "dan"; }), 0)
      << "who may not approve any more";
  EXPECT_EQ(why_not_approver(*release, "dan", "dan@example.org"), "");
  for (const char* user : {"ann", "bob", "", "system:serviceaccount:shop:pipeline"})
    EXPECT_NE(why_not_approver(*release, user, ""), "") << user;
  EXPECT_NE(why_not_approver(*release, "cat", "CAT@example.org"), "") << "who wrote the commit";
}

TEST(Stages, AreInOrder) {
  const auto stages = stages_of({object("{metadata: {name: prod}, spec: {order: 2, approvals: 1}}"),
                                 object("{metadata: {name: dev}, spec: {order: 0}}"),
                                 object("{metadata: {name: staging}, spec: {order: 1, autoPromote: true}}")});
  EXPECT_EQ(stage_before(stages, "staging")->name, "dev");
  EXPECT_EQ(stage_after(stages, "staging")->name, "prod");
  EXPECT_EQ(stage_before(stages, "dev"), nullptr);
  EXPECT_EQ(stage_after(stages, "prod"), nullptr);
  EXPECT_EQ(stage_named(stages, "none"), nullptr);
  EXPECT_EQ(stage_to_be(stages, "none").approvals, 0);
  EXPECT_EQ(stage_to_be({}, "prod").approvals, 1) << "what its Environment will ask for";
}

TEST(Stages, WasDeployed) {
  const auto at = [](const char* entry) {
    return was_deployed(*object(fmt::format("{{status: {{environments: [{{name: dev, {}}}]}}}}", entry)), "dev");
  };
  EXPECT_TRUE(at("state: Deployed, deployedAt: x"));
  EXPECT_TRUE(at("state: Superseded, deployedAt: x"));
  EXPECT_FALSE(at("state: Superseded")) << "overtaken before it came up";
  EXPECT_FALSE(at("state: RolledBack, deployedAt: x"));
  EXPECT_FALSE(was_deployed(*object("{}"), "dev"));
}

TEST(Stages, OnlyWhatWaitsIsOvertaken) {
  const auto after = [](const char* where) {
    json::value release = *object(fmt::format("{{status: {{environments: [{{name: dev, state: {}}}]}}}}", where));
    supersede_waiting(release, "dev", "web-2 was asked for later");
    return state_in(release, "dev");
  };
  EXPECT_EQ(after("Pending"), "Superseded");
  EXPECT_EQ(after("Deploying"), "Superseded");
  for (const char* ended : {"Deployed", "Failed", "RolledBack"}) EXPECT_EQ(after(ended), ended);
}

TEST(Actors, AreThoseOfARunAndOfTheRunsBeforeIt) {
  using Names = std::vector<std::string>;
  EXPECT_EQ(actors_of(*object("{spec: {actor: ann}}")), (Names{"ann"}));
  EXPECT_EQ(actors_of(*object("{spec: {actor: ben, actors: [ann, ben]}}")), (Names{"ann", "ben"}));
  EXPECT_EQ(actors_of(*object("{spec: {}}")).size(), 1u);
}

std::vector<client::ObjectPtr> three() {
  const auto release = [](const char* name, const char* state, const char* at) {
    return object(
        fmt::format("{{metadata: {{name: {}}}, spec: {{workload: web}}, status: {{environments: [{{name: prod, "
                    "state: {}, deployedAt: '{}'}}]}}}}",
                    name, state, at));
  };
  return {release("a", "Superseded", "2026-06-01T00:00:00Z"), release("b", "Superseded", "2026-06-02T00:00:00Z"),
          release("c", "Deployed", "2026-06-03T00:00:00Z"), release("d", "RolledBack", "2026-06-02T12:00:00Z")};
}

TEST(Rollback, GoesToTheNewestThatWasReplacedNotRolledBack) {
  const auto all = three();
  EXPECT_EQ(base::get_string(*current_in(all, "web", "prod"), "metadata.name"), "c");
  EXPECT_EQ(base::get_string(*previous_in(all, *all[2], "prod"), "metadata.name"), "b");
  EXPECT_EQ(current_in(all, "web", "dev"), nullptr);
  EXPECT_EQ(current_in(all, "api", "prod"), nullptr);
}

TEST(Dora, FourFigures) {
  const auto first = object(R"(
spec: {workload: web, pushedAt: "2026-06-01T00:00:00Z"}
status: {history: [
  {environment: dev, action: deploy, result: Succeeded, finishedAt: "2026-06-01T00:01:00Z"},
  {environment: prod, action: promote, result: Succeeded, finishedAt: "2026-06-01T01:00:00Z"},
  {environment: prod, action: rollback, result: Succeeded, finishedAt: "2026-06-02T01:30:00Z"}]})");
  const auto second = object(R"(
spec: {workload: web, pushedAt: "2026-06-02T00:00:00Z"}
status: {history: [
  {environment: prod, action: promote, result: Succeeded, finishedAt: "2026-06-02T01:00:00Z"},
  {environment: prod, action: promote, result: RolledBack, finishedAt: "2026-06-02T01:30:00Z"}]})");
  const auto figures = dora_figures({first, second}, "prod", kNow);
  EXPECT_EQ(figures.deployments, 2);
  EXPECT_EQ(figures.failures, 1);
  EXPECT_DOUBLE_EQ(figures.failure_ratio, 0.5);
  EXPECT_DOUBLE_EQ(*figures.lead_time_seconds, 3600);
  EXPECT_DOUBLE_EQ(*figures.restore_seconds, 1800);
  const auto none = dora_figures({}, "prod", kNow);
  EXPECT_FALSE(none.lead_time_seconds);
  EXPECT_EQ(none.failure_ratio, 0);
  // Only the last thirty days count.
  EXPECT_EQ(dora_figures({first, second}, "prod", kNow + std::chrono::hours(24 * 60)).deployments, 0);
}

}  // namespace
}  // namespace mainstay::pipelines
