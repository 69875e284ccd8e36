#include "capabilities/observe/dashboard.h"

#include <gtest/gtest.h>

#include "capabilities/observe/default_dashboards.h"

namespace mainstay::observe {
namespace {

base::Result<> check(std::string_view text) { return check_dashboard(*base::parse_json(text)); }

TEST(Dashboard, TakesGrafanasModel) {
  EXPECT_TRUE(check(R"({"title":"T","panels":[{"type":"timeseries","title":"CPU","targets":[{"expr":"up","refId":"A"}]},
    {"type":"logs","targets":[{"expr":"{namespace=\"shop\"} |= \"x\""},{"expr":"{namespace=\"$namespace\"}"}]},
    {"type":"row","panels":[{"type":"stat","targets":[{"expr":"up"}]}]}]})"));
  EXPECT_TRUE(check(R"({"json":"{\"title\":\"T\",\"panels\":[]}"})"));
}

TEST(Dashboard, SaysWhatIsWrong) {
  for (const char* bad :
       {"{}", R"({"json":"{"})", R"({"json":"{}"})", R"({"title":"T","panels":{}})",
        R"({"title":"T","panels":[{"type":"iframe"}]})", R"({"title":"T","panels":[{"type":"stat","targets":[{}]}]})",
        R"({"title":"T","panels":[{"type":"logs","targets":[{"expr":"{"}]}]})",
        R"({"title":"T","panels":[{"type":"row","panels":[{"type":"row"}]}]})"})
    EXPECT_FALSE(check(bad)) << bad;
  EXPECT_NE(check(R"({"title":"T","panels":[{"type":"iframe"}]})").error().message.find("panels[0].type"),
            std::string::npos);
}

TEST(Dashboard, IsMadeFromATemplateWithItsVariablesFixed) {
  const auto made = dashboard_from(
      *base::parse_json(
          R"({"title":"Team","uid":"x","schemaVersion":39,"templating":{"list":[{"name":"team","type":"textbox"},
        {"name":"datasource","type":"datasource","query":"prometheus"}]},"panels":[{"type":"stat","targets":[{"expr":"up{team=\"$team\"}"}]}]})"),
      {{"team", "shop"}}, "shop");
  ASSERT_TRUE(made);
  const boost::json::value board = *made;
  EXPECT_TRUE(check_dashboard(board));
  EXPECT_EQ(base::get_string(board, "title"), "Team shop");
  EXPECT_EQ(base::find(board, "uid"), nullptr);
  EXPECT_EQ(base::get_int(board, "schemaVersion"), 39);
  const auto& variables = base::get_array(board, "templating.list");
  ASSERT_EQ(variables.size(), 2u);
  EXPECT_EQ(base::get_string(variables[0], "type"), "constant");
  EXPECT_EQ(base::get_string(variables[0], "query"), "shop");
  EXPECT_EQ(base::get_string(variables[0], "current.value"), "shop");
  EXPECT_EQ(base::get_string(variables[1], "type"), "datasource");
}

TEST(Dashboard, IsMadeFromATemplateKeptAsText) {
  const auto made = dashboard_from(*base::parse_json(R"({"json":"{\"title\":\"Mine\",\"panels\":[]}"})"),
                                   {{"namespace", "a"}, {"workload", "web"}}, "a/web");
  ASSERT_TRUE(made);
  EXPECT_EQ(base::get_string(boost::json::value(*made), "title"), "Mine a/web");
  EXPECT_FALSE(made->contains("json"));
  EXPECT_EQ(base::get_array(boost::json::value(*made), "templating.list").size(), 2u);
  EXPECT_FALSE(dashboard_from(boost::json::value(), {}, "x"));
  EXPECT_FALSE(dashboard_from(*base::parse_json(R"({"json":"{"})"), {}, "x"));
}

}  // namespace
}  // namespace mainstay::observe
