#include "capabilities/source/browse.h"

#include "capabilities/source/git_test_tree.h"

namespace mainstay::source {
namespace {

using namespace std::string_literals;

TEST(Browse, ReadsAListingOfGit) {
  Scratch scratch;
  scratch.sh(
      "git init -q -b main work && cd work && mkdir -p z/deep && echo hello > 'a b.txt' && echo x > z/deep/f && "
      "ln -s z link && printf '\\377' | xargs -0 -I{} touch {} && git add . && git commit -q -m First");
  const auto items = parse_listing(scratch.sh("git -C work ls-tree -l -z HEAD"));
  ASSERT_TRUE(items);
  EXPECT_EQ(base::to_json(*items), R"([{"name":"z","type":"tree"},{"name":"a b.txt","type":"blob","size":6},)"
                                   R"({"name":"link","type":"link","size":1}])");
  EXPECT_FALSE(parse_listing("100644 blob"));
  EXPECT_FALSE(parse_listing("a\tb"));
  EXPECT_TRUE(parse_listing("")->empty());
}

TEST(Browse, ReadsALogOfGit) {
  Scratch scratch;
  scratch.sh(
      "git init -q -b main work && cd work && git commit -q --allow-empty -m 'First\n\nWith a body.' && "
      "git commit -q --allow-empty -m Second");
  const auto commits =
      parse_log(scratch.sh(fmt::format("git -C work log -z --no-color '--format={}' HEAD --", kLogFormat)));
  ASSERT_EQ(commits.size(), 2u);
  EXPECT_EQ(base::get_string(commits[0], "subject"), "Second");
  EXPECT_EQ(base::get_array(commits[0], "parents").size(), 1u);
  EXPECT_EQ(base::get_string(commits[1], "body"), "With a body.");
  EXPECT_EQ(base::get_string(commits[1], "author.name"), "Ann");
  EXPECT_EQ(base::get_string(commits[1], "sha").size(), 40u);
  EXPECT_EQ(base::get_array(commits[1], "parents").size(), 0u);
  EXPECT_TRUE(parse_log("half a record").empty());
  EXPECT_EQ(base::get_string(parse_log("a\x1f\x1fn\x1f"
                                       "e\x1ft\x1f\xff\x1f")[0],
                             "subject"),
            "(not UTF-8)");
}

TEST(Browse, KnowsPathsInATree) {
  for (const char* good : {"", "a", "a/b.c", ".github/workflows/x.yml", "-x", "a..b", ":(top)"})
    EXPECT_TRUE(is_tree_path(good)) << good;
  for (const std::string& bad : {"/a"s, ".."s, "a/../b"s, "a\nb"s, "a\0b"s, std::string(5000, 'a')})
    EXPECT_FALSE(is_tree_path(bad)) << bad;
}

}  // namespace
}  // namespace mainstay::source
