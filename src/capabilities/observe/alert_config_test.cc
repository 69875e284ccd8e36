#include "capabilities/observe/alert_config.h"

#include <gtest/gtest.h>

#include "capabilities/observe/alerting.h"

namespace mainstay::observe {
namespace {
namespace json = boost::json;

json::value parse(std::string_view text) { return *base::parse_json(text); }

const json::value kRule = parse(R"({"metadata":{"name":"mine"},"spec":{"groups":[{"name":"g","rules":[
  {"alert":"A","expr":"up == 0","for":"1m","labels":{"namespace":"rival","team":"rival","severity":"x"}},
  {"record":"a:b","expr":1}]}]}})");

TEST(RuleFile, ConfinesQueriesAndPinsLabels) {
  const auto made = rule_file(kRule, {"shop-dev", "shop", {"shop-dev"}});
  ASSERT_TRUE(made) << made.error().message;
  const json::value file = *made;
  const json::value& group = file.at("groups").as_array()[0];
  EXPECT_EQ(group.at("name"), "shop-dev/mine/g");
  EXPECT_EQ(group.at("params").at("extra_filters[]").as_array()[0], "{namespace=~\"shop-dev\"}");
  const json::value& labels = group.at("rules").as_array()[0].at("labels");
  EXPECT_EQ(labels.at("namespace"), "shop-dev");
  EXPECT_EQ(labels.at("team"), "shop");
  EXPECT_EQ(labels.at("severity"), "x");
  EXPECT_EQ(group.at("rules").as_array()[1].at("labels").at("namespace"), "shop-dev");
}

TEST(RuleFile, OfAWholeTeamAndOfThePlatform) {
  const auto team = rule_file(kRule, {"shop", "shop", {"shop", "shop-dev"}});
  ASSERT_TRUE(team);
  EXPECT_NE(json::serialize(*team).find("shop|shop-dev"), std::string::npos);
  EXPECT_NE(json::serialize(*team).find("source_namespace"), std::string::npos);
  const auto platform = rule_file(kRule, {"kube-system", "", {"kube-system"}});
  ASSERT_TRUE(platform);
  EXPECT_EQ(json::serialize(*platform).find("extra_filters"), std::string::npos);
}

TEST(RuleFile, RefusesTheEnginesEnvironment) {
  for (const char* rule : {R"({"alert":"A","expr":"up{a=\"%{MAINSTAY_httpAuth_password}\"}"})",
                           R"({"alert":"A","expr":"up","annotations":{"x":"%{MAINSTAY_httpAuth_password}"}})",
                           R"({"alert":"A","expr":"up","labels":{"x":"%{P}"}})", R"({"alert":"%{P}","expr":"up"})",
                           R"({"expr":"up"})", R"({"alert":"a","record":"b","expr":"up"})", R"({"alert":"a"})"}) {
    const json::value object =
        parse(fmt::format(R"({{"metadata":{{"name":"m"}},"spec":{{"groups":[{{"name":"g","rules":[{}]}}]}}}})", rule));
    EXPECT_FALSE(rule_file(object, {"shop", "shop", {"shop"}})) << rule;
  }
}

TEST(Destination, IsNeverThisMachine) {
  for (const char* bad : {"localhost", "LOCALHOST.", "a.localhost", "127.0.0.1", "127.1", "0x7f.0.0.1", "2130706433",
                          "0.0.0.0", "169.254.169.254", "[::1]", "[::]", "[fe80::1]", "[::ffff:127.0.0.1]", ""})
    EXPECT_FALSE(allowed_destination(bad)) << bad;
  for (const char* good : {"hooks.example.com", "10.0.0.4", "[2001:db8::1]", "192.168.1.1"})
    EXPECT_TRUE(allowed_destination(good)) << good;
  EXPECT_EQ(host_of_url("https://hooks.example.com/x?y"), "hooks.example.com");
  EXPECT_EQ(host_of_url("ftp://x/"), "");
  EXPECT_EQ(host_of_url("http://u:p@x/"), "");
  EXPECT_EQ(host_of_url("nonsense"), "");
}

const FindSecret kSecret = [](const std::string& name, const std::string& key) -> std::optional<std::string> {
  if (name == "hook" && key == "token") return "s3cret\n";
  return std::nullopt;
};

TEST(Receiver, GetsItsNamespacesAlertsAlone) {
  const json::value object = parse(R"({"metadata":{"name":"r"},"spec":{"webhook":{"url":"https://h.example/x",
    "tokenFrom":{"name":"hook","key":"token"}},"matchers":[{"name":"severity","op":"=~","value":"a|\"b"}]}})");
  const auto of_environment = receiver_config(object, {"shop-dev", "shop", {"shop-dev"}}, kSecret, "/a");
  ASSERT_TRUE(of_environment) << of_environment.error().message;
  const json::array& matchers = of_environment->route.at("matchers").as_array();
  EXPECT_EQ(matchers[0], "namespace=\"shop-dev\"");
  EXPECT_EQ(matchers[1], "severity=~\"a|\\\"b\"");
  EXPECT_NE(json::serialize(of_environment->receiver).find("\"s3cret\""), std::string::npos);
  const auto of_team = receiver_config(object, {"shop", "shop", {"shop", "shop-dev"}}, kSecret, "/a");
  EXPECT_EQ(of_team->route.at("matchers").as_array()[0], "team=\"shop\"");
  const auto of_platform = receiver_config(object, {"kube-system", "", {}}, kSecret, "/a");
  EXPECT_EQ(of_platform->route.at("matchers").as_array().size(), 1u);
}

TEST(Receiver, SaysWhatIsWrong) {
  const Owner owner{"shop", "shop", {"shop"}};
  for (const char* spec : {"{}", R"({"webhook":{}})", R"({"webhook":{"url":"http://127.0.0.1/"}})",
                           R"({"webhook":{"url":"https://h/","tokenFrom":{"name":"hook","key":"none"}}})",
                           R"({"webhook":{"url":"https://h/"},"matchers":[{"name":"a","op":"=~","value":"("}]})",
                           R"({"email":{"to":["a@b"],"from":"c@d","smarthost":"localhost:25"}})",
                           R"({"email":{"to":["a@b"],"from":"c@d","smarthost":"mail.example.com:25","ca":"none"}})"}) {
    EXPECT_FALSE(
        receiver_config(parse(fmt::format(R"({{"metadata":{{"name":"r"}},"spec":{}}})", spec)), owner, kSecret, "/a"))
        << spec;
  }
}

TEST(Visible, AlertsAndRulesOfOthersAreLeftOut) {
  const Scope scope{false, {"shop-dev"}};
  const auto alerts = visible_alerts(
      parse(
          R"({"status":"success","data":{"alerts":[{"labels":{"namespace":"shop-dev"}},{"labels":{"namespace":"rival"}},{"labels":{}}]}})"),
      scope);
  EXPECT_EQ(base::get_array(alerts, "data.alerts").size(), 1u);
  const auto rules = visible_rules(
      parse(
          R"({"data":{"groups":[{"name":"rival/x/g","rules":[]},{"name":"shop-dev/x/g","file":"/secret/path","rules":[]},
        {"name":"kube-system/p/g","rules":[{"type":"alerting","state":"firing","alerts":[{"labels":{"namespace":"rival"}}]}]}]}})"),
      scope);
  const std::string text = json::serialize(rules);
  EXPECT_EQ(text.find("rival"), std::string::npos) << text;
  EXPECT_EQ(text.find("secret"), std::string::npos);
  EXPECT_NE(text.find("inactive"), std::string::npos);
  EXPECT_EQ(base::get_array(rules, "data.groups").size(), 2u);
}

}  // namespace
}  // namespace mainstay::observe
