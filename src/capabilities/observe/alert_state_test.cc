#include "capabilities/observe/alert_state.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace mainstay::observe {
namespace {
namespace json = boost::json;
using reconcile::Name;

json::value parse(std::string_view text) { return *base::parse_json(text); }

constexpr const char* kNever = "0001-01-01T00:00:00Z";

std::string alert(const std::string& state, const std::string& ns, const std::string& pod, const std::string& since) {
  return fmt::format(
      R"({{"state":"{}","name":"Down","value":"1","activeAt":"{}","annotations":{{"summary":"{} is down"}},
          "labels":{{"alertname":"Down","alertgroup":"x","namespace":"{}","pod":"{}","severity":"critical"}}}})",
      state, since, pod, ns, pod);
}
std::string rule(const std::string& evaluated, const std::string& alerts, const std::string& error = "") {
  return fmt::format(
      R"({{"name":"Down","query":"up == 0","type":"alerting","lastEvaluation":"{}","lastError":{},"alerts":[{}]}})",
      evaluated, json::serialize(json::value(error)), alerts);
}
json::value answer(const std::string& group, const std::string& rules) {
  return parse(fmt::format(R"({{"data":{{"groups":[{{"name":"{}","rules":[{}]}}]}}}})", group, rules));
}
bool known(const std::string& ns) { return ns == "shop-dev" || ns == "kube-system" || ns == "shop"; }
const std::map<Name, AskedRules> kAsked{{{"kube-system", "all"}, {{"g/h", "Down", "up == 0"}}}};
constexpr const char* kThen = "2026-11-29T12:50:30.687432583Z";

TEST(AlertState, AnAlertIsAnObjectOfTheNamespaceItSpeaksOf) {
  const EngineState state =
      engine_state(answer("kube-system/all/g/h", rule(kThen, alert("firing", "shop-dev", "web-1", kThen) + "," +
                                                                 alert("pending", "gone", "web-2", kThen) + "," +
                                                                 alert("inactive", "shop-dev", "web-3", kThen))),
                   kAsked, known);
  EXPECT_TRUE(state.unsettled.empty());
  EXPECT_EQ(state.figures.at({"kube-system", "all"}), (RuleFigures{1, 1, ""}));
  ASSERT_EQ(state.alerts.size(), 2u);
  for (const auto& [name, object] : state.alerts) {
    EXPECT_EQ(rule_of_alert(object), (RuleKey{"kube-system", "all", "g/h", "Down"}));
    EXPECT_TRUE(name.name.starts_with("down-")) << name.name;
    EXPECT_FALSE(base::find(object, {"spec", "labels", "alertgroup"}));
    EXPECT_EQ(base::get_string(object, "status.activeAt"), "2026-11-29T12:50:30Z");
    // A namespace that is not there has no objects: its alerts are the rule's.
    EXPECT_EQ(name.ns, base::get_string(object, "status.state") == "firing" ? "shop-dev" : "kube-system");
  }
  const json::value& fires = state.alerts.rbegin()->second;
  EXPECT_EQ(alert_text(fires), "Down (critical), rule kube-system/all: web-1 is down");
}

TEST(AlertState, NothingIsSaidOfWhatWasNotYetEvaluated) {
  const std::string down = alert("pending", "shop-dev", "web-1", kThen);
  const RuleKey key{"kube-system", "all", "g/h", "Down"};
  const EngineState fresh = engine_state(answer("kube-system/all/g/h", rule(kNever, down)), kAsked, known);
  EXPECT_TRUE(fresh.alerts.empty());
  EXPECT_TRUE(fresh.unsettled.contains(key));
  // Before the engine has read its files anew, it answers what it read before.
  const EngineState older = engine_state(answer("kube-system/all/g/h", rule(kThen, down)),
                                         {{{"kube-system", "all"}, {{"g/h", "Down", "up < 1"}}}}, known);
  EXPECT_TRUE(older.alerts.empty());
  EXPECT_TRUE(older.unsettled.contains(key));
  const EngineState other = engine_state(answer("kube-system/other/g", rule(kThen, down)), kAsked, known);
  EXPECT_TRUE(other.alerts.empty());
  EXPECT_TRUE(other.unsettled.contains(key));
  EXPECT_TRUE(engine_state(parse(R"({"data":{"groups":"?"}})"), {}, known).alerts.empty());
}

TEST(AlertState, OneNameForEachAlert) {
  const auto name = [](const std::string& pod) {
    const EngineState s = engine_state(
        answer("kube-system/all/g/h", rule(kThen, alert("firing", "shop-dev", pod, kThen))), kAsked, known);
    return s.alerts.begin()->first.name;
  };
  EXPECT_EQ(name("web-1"), name("web-1"));
  EXPECT_NE(name("web-1"), name("web-2"));
}

TEST(AlertState, ANamespaceHasSoManyAndNoMore) {
  std::string alerts = alert("pending", "shop-dev", "first", "2020-01-01T00:00:00Z");
  for (std::size_t i = 0; i < kMaxAlertsOfNamespace + 10; ++i)
    alerts += "," + alert("firing", "shop-dev", fmt::format("web-{}", i), kThen);
  const EngineState state = engine_state(answer("kube-system/all/g/h", rule(kThen, alerts)), kAsked, known);
  EXPECT_EQ(state.alerts.size(), kMaxAlertsOfNamespace);
  for (const auto& [key, object] : state.alerts) EXPECT_EQ(base::get_string(object, "status.state"), "firing");
  EXPECT_EQ(state.figures.begin()->second.firing, static_cast<int>(kMaxAlertsOfNamespace) + 10);
}

TEST(AlertState, ErrorsAreTheMetricsEnginesWithoutItsAddress) {
  const std::string said =
      R"(failed: unexpected response code 422 for http://127.0.0.1:1/api?x={namespace=~"a"}. Response body {"error":"must be even"})";
  const auto error = [](const std::string& text) {
    return engine_state(answer("kube-system/all/g/h", rule(kThen, "", text)), kAsked, known)
        .figures.begin()
        ->second.error;
  };
  EXPECT_EQ(error(said), "must be even");
  EXPECT_EQ(error("dial tcp 127.0.0.1:1: refused"), "the metrics engine does not answer");
  EXPECT_EQ(error(""), "");
}

TEST(UpdatedAlert, IsWrittenWhenTheStateChanges) {
  const auto object = [](const std::string& state, const std::string& since) {
    return engine_state(answer("kube-system/all/g/h", rule(kThen, alert(state, "shop-dev", "web-1", since))), kAsked,
                        known)
        .alerts.begin()
        ->second;
  };
  const std::string later = "2026-11-29T12:51:30.5Z";
  json::value pending = object("pending", kThen);
  base::set(pending, "metadata.resourceVersion", "7");
  EXPECT_FALSE(updated_alert(pending, object("pending", kThen)));
  json::value other_value = object("pending", kThen);
  base::set(other_value, "status.value", "2");
  EXPECT_FALSE(updated_alert(pending, other_value));
  const auto fires = updated_alert(pending, object("firing", kThen));
  ASSERT_TRUE(fires);
  EXPECT_EQ(base::get_string(*fires, "metadata.resourceVersion"), "7");
  EXPECT_EQ(base::get_string(*fires, "status.state"), "firing");
  // The engine was killed and counts anew: it has fired since then. One that is pending again has not.
  EXPECT_FALSE(updated_alert(*fires, object("firing", later)));
  const auto again = updated_alert(*fires, object("pending", later));
  ASSERT_TRUE(again);
  EXPECT_EQ(base::get_string(*again, "status.activeAt"), "2026-11-29T12:51:30Z");
}

}  // namespace
}  // namespace mainstay::observe
