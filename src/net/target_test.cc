#include "net/target.h"

#include <gtest/gtest.h>

namespace mainstay::net {
namespace {

TEST(Target, AcceptsAndNormalises) {
  const struct {
    std::string_view text, path;
  } kCases[] = {
      {"/", "/"},
      {"/api/v1/pods", "/api/v1/pods"},
      {"/git/team/repo.git/", "/git/team/repo.git/"},
      {"//v2///x//", "/v2/x/"},
      {"/a%20b/c%C3%A9", "/a b/cé"},
      {"/a?x=1&y=%2F..", "/a"},
      {"http://example.com/a/b?x", "/a/b"},
      {"HTTPS://example.com", "/"},
      {"http://example.com?x=1", "/"},
      {"/...", "/..."},
      {"/sha256:abc+def", "/sha256:abc+def"},
  };
  for (const auto& c : kCases) {
    const auto target = parse_target("GET", c.text);
    ASSERT_TRUE(target.has_value()) << c.text << ": " << target.error().message;
    EXPECT_EQ(target->path, c.path) << c.text;
  }
  EXPECT_EQ(parse_target("GET", "/a?x=1&y=%2F..")->query.get("y"), "/..");
  EXPECT_EQ(parse_target("OPTIONS", "*")->path, "*");
}

TEST(Target, RefusesWhatCouldBeReadTwoWays) {
  for (std::string_view text : {"",       "*",      "a/b",   "/a/../b", "/a/%2e%2E/b", "/./a",           "/a%2Fb",
                                "/a%00b", "/a%0Ab", "/a%7f", "/%ff",    "/%c0%af",     "/%ed%a0%80",     "/a%",
                                "/a%4",   "/a%zz",  "/a#b",  "/a?x=%",  "ftp://x/y",   "example.com:443"}) {
    EXPECT_FALSE(parse_target("GET", text).has_value()) << text;
  }
}

}  // namespace
}  // namespace mainstay::net
