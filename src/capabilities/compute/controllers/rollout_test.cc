#include "capabilities/compute/controllers/rollout.h"

#include <gtest/gtest.h>

namespace mainstay::compute {
namespace {

json::value deployment(std::int64_t replicas, json::value surge, json::value unavailable) {
  return json::object{
      {"spec", json::object{{"replicas", replicas},
                            {"strategy", json::object{{"type", "RollingUpdate"},
                                                      {"rollingUpdate",
                                                       json::object{{"maxSurge", std::move(surge)},
                                                                    {"maxUnavailable", std::move(unavailable)}}}}}}}};
}

SetReplicas set(std::string name, std::int64_t replicas, std::int64_t available, bool is_new, int age = 0) {
  SetReplicas s;
  s.name = std::move(name);
  s.replicas = replicas;
  s.available = available;
  s.is_new = is_new;
  s.created = base::SystemTime(std::chrono::seconds(1000 - age));
  return s;
}

TEST(RolloutLimits, PercentagesRoundSurgeUpAndUnavailableDown) {
  const auto limits = rollout_limits(deployment(10, "25%", "25%"));
  ASSERT_TRUE(limits);
  EXPECT_EQ(limits->surge, 3);
  EXPECT_EQ(limits->unavailable, 2);
}

TEST(RolloutLimits, OneReplicaDefaultsToSurgeFirst) {
  const auto limits = rollout_limits(json::object{{"spec", json::object{{"replicas", 1}}}});
  ASSERT_TRUE(limits);
  EXPECT_EQ(limits->surge, 1);
  EXPECT_EQ(limits->unavailable, 0);
}

TEST(RolloutLimits, BothZeroLetsOneGo) {
  const auto limits = rollout_limits(deployment(4, 0, "10%"));
  ASSERT_TRUE(limits);
  EXPECT_EQ(limits->unavailable, 1);
}

TEST(RolloutLimits, ErrorsNameTheField) {
  const auto limits = rollout_limits(deployment(4, "many", 0));
  ASSERT_FALSE(limits);
  EXPECT_NE(limits.error().message.find("maxSurge"), std::string::npos);
  EXPECT_FALSE(rollout_limits(deployment(4, -1, 0)));
}

TEST(Roll, FirstRolloutStartsAll) {
  std::vector<SetReplicas> sets{set("new", 0, 0, true)};
  roll(3, {1, 0}, sets);
  EXPECT_EQ(sets[0].replicas, 3);
}

TEST(Roll, SurgesThenWaitsForAvailability) {
  std::vector<SetReplicas> sets{set("old", 3, 3, false, 10), set("new", 0, 0, true)};
  roll(3, {1, 0}, sets);
  EXPECT_EQ(sets[1].replicas, 1);
  EXPECT_EQ(sets[0].replicas, 3) << "nothing goes before the new one is available";
  sets[1].available = 1;
  roll(3, {1, 0}, sets);
  EXPECT_EQ(sets[0].replicas, 2);
}

TEST(Roll, UnavailableOldReplicasGoFirst) {
  std::vector<SetReplicas> sets{set("broken", 2, 0, false, 5), set("good", 3, 3, false, 10), set("new", 1, 1, true)};
  roll(4, {1, 1}, sets);
  EXPECT_EQ(sets[0].replicas, 0);
  EXPECT_GE(sets[1].replicas + sets[2].available, 3);
}

TEST(Roll, NeverBelowTheFloorNorAboveTheCeiling) {
  // Every mix of limits, played to its end with replicas becoming available one at a time.
  for (std::int64_t wanted = 1; wanted <= 6; ++wanted) {
    for (const RolloutLimits limits :
         {RolloutLimits{1, 0}, RolloutLimits{0, 1}, RolloutLimits{2, 1}, RolloutLimits{wanted, wanted}}) {
      std::vector<SetReplicas> sets{set("old", wanted, wanted, false, 10), set("new", 0, 0, true)};
      int steps = 0;
      while ((sets[0].replicas > 0 || sets[1].available < wanted) && ++steps < 100) {
        roll(wanted, limits, sets);
        sets[0].available = std::min(sets[0].available, sets[0].replicas);
        EXPECT_LE(sets[0].replicas + sets[1].replicas, wanted + limits.surge);
        EXPECT_GE(sets[0].available + sets[1].available, wanted - limits.unavailable);
        if (sets[1].available < sets[1].replicas) ++sets[1].available;
      }
      EXPECT_LT(steps, 100) << "stuck at wanted " << wanted << " surge " << limits.surge;
    }
  }
}

TEST(Rescale, OneActiveSetTakesTheCount) {
  std::vector<SetReplicas> sets{set("a", 2, 2, true), set("b", 0, 0, false, 10)};
  rescale(5, {1, 0}, true, sets);
  EXPECT_EQ(sets[0].replicas, 5);
  EXPECT_EQ(sets[1].replicas, 0);
}

TEST(Rescale, AFinishedRolloutEmptiesOldSets) {
  std::vector<SetReplicas> sets{set("new", 3, 3, true), set("old", 1, 1, false, 10)};
  rescale(3, {1, 0}, true, sets);
  EXPECT_EQ(sets[1].replicas, 0);
}

TEST(Rescale, KeepsProportionsInTheMiddleOfARollout) {
  std::vector<SetReplicas> sets{set("old", 8, 8, false, 10), set("new", 5, 3, true)};
  for (SetReplicas& s : sets) s.noted_maximum = 13;  // 10 wanted, 3 surge
  rescale(20, {6, 2}, true, sets);
  EXPECT_EQ(sets[0].replicas + sets[1].replicas, 26);
  EXPECT_EQ(sets[0].replicas, 16);
  EXPECT_EQ(sets[1].replicas, 10);
}

TEST(Rescale, ToZeroEmptiesAll) {
  std::vector<SetReplicas> sets{set("old", 2, 2, false, 10), set("new", 2, 1, true)};
  rescale(0, {1, 0}, true, sets);
  EXPECT_EQ(sets[0].replicas + sets[1].replicas, 0);
}

TEST(TemplateHash, IgnoresOrderAndItsOwnLabel) {
  const auto a =
      json::parse(R"({"metadata":{"labels":{"app":"x","v":"1"}},"spec":{"containers":[{"name":"c","image":"i"}]}})");
  const auto b = json::parse(
      R"({"spec":{"containers":[{"image":"i","name":"c"}]},"metadata":{"labels":{"v":"1","app":"x","pod-template-hash":"zz"}}})");
  EXPECT_EQ(template_hash(a, 0), template_hash(b, 0));
  EXPECT_TRUE(same_template(a, b));
  EXPECT_NE(template_hash(a, 0), template_hash(a, 1));
  const auto c =
      json::parse(R"({"metadata":{"labels":{"app":"x","v":"1"}},"spec":{"containers":[{"name":"c","image":"j"}]}})");
  EXPECT_NE(template_hash(a, 0), template_hash(c, 0));
  EXPECT_FALSE(same_template(a, c));
}

}  // namespace
}  // namespace mainstay::compute
