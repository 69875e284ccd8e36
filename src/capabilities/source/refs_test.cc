#include "capabilities/source/refs.h"

#include <gtest/gtest.h>

#include "capabilities/source/git.h"

namespace mainstay::source {
namespace {

const std::string kA(40, 'a'), kB(40, 'b');

TEST(Refs, ReadsForEachRef) {
  const Refs refs = parse_refs(kA + " refs/heads/main\nnonsense\n" + kB + " refs/tags/v1\n");
  EXPECT_EQ(refs, (Refs{{"refs/heads/main", kA}, {"refs/tags/v1", kB}}));
}

TEST(Refs, LeavesOutNamesThatNoObjectCanHold) {
  EXPECT_EQ(parse_refs(kA + " refs/heads/caf\xe9\n" + kB + " refs/heads/caf\xc3\xa9\n"),
            (Refs{{"refs/heads/caf\xc3\xa9", kB}}));
}

TEST(Refs, RecordsNewMovedAndDeleted) {
  base::json::object recorded;
  auto by = [](const RefChange&) { return std::string("ann"); };
  auto changes = record_refs({{"refs/heads/main", kA}}, recorded, "t1", by);
  ASSERT_EQ(changes, (std::vector<RefChange>{{"refs/heads/main", "", kA}}));
  EXPECT_TRUE(record_refs({{"refs/heads/main", kA}}, recorded, "t2", by).empty());
  EXPECT_EQ(base::get_string(recorded["refs/heads/main"], "pushedAt"), "t1");

  changes = record_refs({{"refs/heads/main", kB}}, recorded, "t3", nullptr);
  ASSERT_EQ(changes, (std::vector<RefChange>{{"refs/heads/main", kA, kB}}));
  const base::json::value& entry = recorded["refs/heads/main"];
  EXPECT_EQ(base::get_string(entry, "previous"), kA);
  EXPECT_EQ(base::get_string(entry, "pushedBy"), "unknown");

  changes = record_refs({}, recorded, "t4", by);
  ASSERT_EQ(changes, (std::vector<RefChange>{{"refs/heads/main", kB, ""}}));
  EXPECT_TRUE(recorded.empty());
}

TEST(Refs, IsBounded) {
  Refs refs;
  for (int i = 0; i < 5000; ++i) refs[fmt::format("refs/tags/{}", i)] = kA;
  base::json::object recorded;
  record_refs(refs, recorded, "t", nullptr);
  EXPECT_EQ(recorded.size(), kMaxRefsInStatus);
}

TEST(Refs, BranchPatterns) {
  EXPECT_TRUE(branch_matches("main", "main"));
  EXPECT_FALSE(branch_matches("main", "mainline"));
  EXPECT_TRUE(branch_matches("release/*", "release/1.2"));
  EXPECT_FALSE(branch_matches("release/*", "release/1/2"));
  EXPECT_TRUE(branch_matches("release/**", "release/1/2"));
  EXPECT_TRUE(branch_matches("*", "x"));
  EXPECT_TRUE(branch_matches("a*b*c", "a-b-b-c"));
  EXPECT_FALSE(branch_matches(std::string(50, '*') + "x", std::string(199, 'a')));  // and is quick about it
}

TEST(Git, NamesAreSafe) {
  const Git git("/data/git", "/bin/mainstay");
  EXPECT_EQ(git.path("shop", "web")->string(), "/data/git/shop/web.git");
  for (const char* bad : {"", "..", "a/b", "A", "-x", ".git", "web.git"}) EXPECT_FALSE(git.path("shop", bad)) << bad;
  EXPECT_FALSE(git.path("..", "web"));
  EXPECT_FALSE(git.path("shop", std::string(41, 'a')));
  EXPECT_EQ(git.existing("shop", "web").error().code, base::ErrorCode::kNotFound);
}

TEST(Git, BranchNames) {
  for (const char* good : {"main", "release/1.2", "a-b_c"}) EXPECT_TRUE(is_branch_name(good)) << good;
  for (const char* bad :
       {"", "-x", "a..b", "a b", "a~b", "x.lock", "a//b", "/a", "a/", ".a", "a/.b", "@", "a@{b", "x\n"})
    EXPECT_FALSE(is_branch_name(bad)) << bad;
}

TEST(Git, ProtocolHeaderIsChecked) {
  EXPECT_EQ(safe_protocol("version=2"), "version=2");
  EXPECT_EQ(safe_protocol("version=2; rm"), "");
  EXPECT_EQ(safe_protocol("version=2\nX: y"), "");
}

TEST(Git, EnvironmentLeaksNothing) {
  ::setenv("MAINSTAY_TEST_SECRET", "x", 1);
  const Git git("/data/git", "/bin/mainstay");
  const auto options = git.command({"version"}, "version=2", {"main"});
  EXPECT_FALSE(options.env.contains("MAINSTAY_TEST_SECRET"));
  EXPECT_EQ(options.env.at("GIT_CONFIG_NOSYSTEM"), "1");
  EXPECT_EQ(options.env.at("GIT_PROTOCOL"), "version=2");
  EXPECT_EQ(options.env.at("MAINSTAY_PROTECTED"), "main");
  EXPECT_FALSE(git.command({"version"}).env.contains("MAINSTAY_PROTECTED"));
}

}  // namespace
}  // namespace mainstay::source
