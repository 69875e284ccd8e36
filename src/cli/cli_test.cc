#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/command.h"
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

// Parses `words` after `mainstay deploy`; "ok", or what came instead.
std::string deploy(std::vector<std::string> words, std::vector<std::string>& files, std::int64_t& copies) {
  CommandLine line("Test.", "mainstay");
  Command sub = line.root().require_subcommand().add_subcommand("deploy", "Deploys");
  std::string mode, name, digest;
  sub.option("file", files, "The files");
  sub.option("-c,--copies", copies, "How many").range(1, 9).show_default();
  sub.option("--mode", mode, "How").one_of({"fast", "safe"});
  Command group = sub.exclusive_group("which");
  group.option("--by-name", name, "A name");
  group.option("--by-digest", digest, "A digest");
  bool ran = false;
  sub.callback([&ran] { ran = true; });
  words.insert(words.begin(), {"mainstay", "deploy"});
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  const auto exit = line.parse(static_cast<int>(argv.size()), argv.data());
  EXPECT_EQ(ran, !exit);
  return exit ? fmt::format("{}: {}", exit->code == 0 ? "asked" : "wrong", exit->text) : "ok";
}

TEST(Command, ValuesAreCheckedAndSet) {
  std::vector<std::string> files;
  std::int64_t copies = 3;
  EXPECT_EQ(deploy({"a", "b", "-c", "2", "--by-name", "x", "--mode", "safe"}, files, copies), "ok");
  EXPECT_EQ(files, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(copies, 2);
  EXPECT_THAT(deploy({"--by-name", "x", "-c", "10"}, files, copies), testing::HasSubstr("not in range 1 to 9"));
  EXPECT_THAT(deploy({"--by-name", "x", "--mode", "slow"}, files, copies), testing::HasSubstr("not in {fast,safe}"));
  EXPECT_THAT(deploy({}, files, copies), testing::StartsWith("wrong: "));
  EXPECT_THAT(deploy({"--by-name", "x", "--by-digest", "y"}, files, copies), testing::StartsWith("wrong: "));
}

TEST(Command, HelpShowsDefaultsAndChoices) {
  std::vector<std::string> files;
  std::int64_t copies = 3;
  const std::string help = deploy({"--help"}, files, copies);
  EXPECT_THAT(help, testing::StartsWith("asked: Deploys\n"));
  EXPECT_THAT(help, testing::HasSubstr("INT in [1 - 9]=3"));
  EXPECT_THAT(help, testing::HasSubstr("{fast,safe}"));
}

TEST(Command, NamesForCompletion) {
  CommandLine line("Test.", "mainstay");
  bool all = false;
  Command sub = line.root().add_subcommand("list", "Lists");
  sub.flag("-a,--all", all, "All");
  std::string name;
  sub.exclusive_group("which").option("--by-name", name, "A name");
  ASSERT_EQ(line.root().subcommands().size(), 1u);
  EXPECT_EQ(line.root().subcommands()[0].name(), "list");
  EXPECT_EQ(sub.long_names(), (std::vector<std::string>{"help", "all", "by-name"}));
  EXPECT_TRUE(sub.subcommands().empty());
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
