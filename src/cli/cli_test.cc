#include <gtest/gtest.h>

#include "cli/output.h"
#include "cli/suggest.h"

namespace mainstay::cli {
namespace {

TEST(Output, TablesAlignAndDropTrailingSpace) {
  EXPECT_EQ(format_table({"NAME", "AGE"}, {{"a", "1d"}, {"longer", ""}}), "NAME     AGE\na        1d\nlonger\n");
}

TEST(Output, ServerTablesHideWideColumnsUntilAsked) {
  const boost::json::value table =
      boost::json::parse(R"({"columnDefinitions":[{"name":"Name"},{"name":"IP","priority":1}],
      "rows":[{"cells":["web","10.0.0.1"],"object":{"metadata":{"namespace":"shop"}}}]})");
  EXPECT_EQ(format_server_table(table, false, false), "NAME\nweb\n");
  EXPECT_EQ(format_server_table(table, true, true), "NAMESPACE   NAME   IP\nshop        web    10.0.0.1\n");
}

TEST(Suggest, TheNearestOrNone) {
  const std::vector<std::string> verbs = {"status", "team", "token", "login", "logout", "logs", "release"};
  EXPECT_EQ(nearest("staus", verbs), "status");
  EXPECT_EQ(nearest("tema", verbs), "team");
  EXPECT_EQ(nearest("logn", verbs), "login");
  EXPECT_EQ(nearest("rel", verbs), "release");
  EXPECT_EQ(nearest("frobnicate", verbs), "");
  EXPECT_EQ(nearest("x", verbs), "");
  EXPECT_EQ(nearest("", verbs), "");
}

TEST(Output, AgeOfRubbishIsEmpty) { EXPECT_EQ(age("yesterday"), ""); }

}  // namespace
}  // namespace mainstay::cli
