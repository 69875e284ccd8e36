#include "capabilities/observe/dashboard.h"

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace mainstay::observe
