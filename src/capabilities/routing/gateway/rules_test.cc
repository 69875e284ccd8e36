#include "capabilities/routing/gateway/rules.h"

#include <gtest/gtest.h>

namespace mainstay::routing {
namespace {

Rule rule(std::string key, std::string host, std::string path = "/") {
  Rule out;
  out.key = std::move(key);
  out.source = "HTTPRoute a/" + out.key;
  Match match;
  match.host = std::move(host);
  match.path = std::move(path);
  out.matches.push_back(std::move(match));
  return out;
}
bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

TEST(Rules, NothingWithoutRules) { EXPECT_EQ(render_rules({}, base::Config{}), RuleTexts{}); }

TEST(Rules, TheMoreAMatchSaysTheEarlier) {
  Rule wild = rule("r-wild", "*.a.test"), root = rule("r-root", "x.a.test"), deep = rule("r-deep", "x.a.test", "/api"),
       exact = rule("r-exact", "x.a.test", "/api"), headers = rule("r-head", "x.a.test", "/api");
  exact.matches[0].exact = true;
  headers.matches[0].headers.emplace_back("X-Canary", "yes");
  const std::string text = render_rules({wild, root, deep, headers, exact}, base::Config{}).select;
  const auto at = [&text](std::string_view key) { return text.find(fmt::format("str({}.0)", key)); };
  EXPECT_LT(at("r-exact"), at("r-head"));
  EXPECT_LT(at("r-head"), at("r-deep"));
  EXPECT_LT(at("r-deep"), at("r-root"));
  EXPECT_LT(at("r-root"), at("r-wild"));
  EXPECT_TRUE(has(text, "path,concat(/,,) -m beg /api/")) << "by segments: /apis is another";
  EXPECT_TRUE(has(text, "var(txn.host) -m end .a.test"));
}

TEST(Rules, OfWhatSaysAsMuchTheFirstWins) {
  std::vector<Rule> rules;
  for (const char* key : {"r-9", "r-1", "r-5"}) {
    rules.push_back(rule(key, "a.test"));
    rules.back().source = "HTTPRoute a/one";
    rules.back().matches[0].headers.emplace_back("X-A", key);
  }
  const std::string text = render_rules(rules, base::Config{}).select;
  EXPECT_LT(text.find("str(r-9.0)"), text.find("str(r-1.0)")) << "in the order of the route, not of the keys";
  EXPECT_LT(text.find("str(r-1.0)"), text.find("str(r-5.0)"));
}

TEST(Rules, TimeoutsAreSetInTheBackends) {
  Rule r = rule("r-1", "a.test"), unlimited = rule("r-2", "b.test");
  EXPECT_EQ(render_rules({r}, base::Config{}).backends, "");
  r.timeout = std::chrono::milliseconds(1500);
  unlimited.timeout = std::chrono::milliseconds(0);
  ASSERT_TRUE(check_rule(r));
  const RuleTexts texts = render_rules({r, unlimited}, base::Config{});
  EXPECT_TRUE(has(texts.change, "set-var(txn.timeout) int(1500) if"));
  EXPECT_TRUE(has(texts.change, "set-var(txn.timeout) int(86400000) if"));
  EXPECT_TRUE(has(texts.backends, "set-timeout server var(txn.timeout) if"));
  r.timeout = std::chrono::hours(25);
  EXPECT_FALSE(check_rule(r));
}

TEST(Rules, NothingAUserWritesEndsItsWord) {
  for (const std::string value : {"a\nb", "a\\", "\x7f", "\xc3\xa4"}) {
    Rule r = rule("r-1", "a.test");
    r.request.push_back({HeaderChange::kSet, "X-A", value});
    EXPECT_FALSE(check_rule(r));
    Rule m = rule("r-1", "a.test");
    m.matches[0].headers.emplace_back("X-A", value);
    EXPECT_FALSE(check_rule(m));
  }
  for (const std::string path : {"/a b", "/a'", "/a%2e", "/a(b", "a", "/a\n", "/a\"", "/a,b", "/a]"}) {
    EXPECT_FALSE(check_rule(rule("r-1", "a.test", path))) << path;
    Rule rewrite = rule("r-1", "a.test");
    rewrite.rewrite = PathChange{true, path};
    EXPECT_FALSE(check_rule(rewrite)) << path;
  }
  EXPECT_FALSE(check_rule(rule("r-1", "a test")));
  EXPECT_FALSE(check_rule(rule("r-1", "a.test }")));
  Rule name = rule("r-1", "a.test");
  name.response.push_back({HeaderChange::kSet, "X A", "b"});
  EXPECT_FALSE(check_rule(name));
  Rule query = rule("r-1", "a.test");
  query.matches[0].queries.emplace_back("a)", "b");
  EXPECT_FALSE(check_rule(query));
  Rule source = rule("r-1", "a.test");
  source.access.allow = {"10.0.0.0/8 } || always_true"};
  EXPECT_FALSE(check_rule(source));
}

TEST(Rules, QuotesAndPercentsAreText) {
  Rule r = rule("r-1", "a.test");
  r.response.push_back({HeaderChange::kSet, "Content-Security-Policy", "default-src 'self'; %[env(PATH)]"});
  ASSERT_TRUE(check_rule(r));
  EXPECT_TRUE(has(render_rules({r}, base::Config{}).responses,
                  R"(set-header Content-Security-Policy 'default-src '\''self'\''; %%[env(PATH)]' if)"));
}

TEST(Rules, WhatTheEdgeSaysItselfIsNotARoutesToSay) {
  for (const char* header : {"Host", "x-forwarded-for", "Content-Length", "Transfer-Encoding", "X-Request-ID"}) {
    Rule r = rule("r-1", "a.test");
    r.request.push_back({HeaderChange::kRemove, header, ""});
    EXPECT_FALSE(check_rule(r)) << header;
  }
}

TEST(Rules, RedirectsRewritesAndAccess) {
  base::Config config;
  Rule r = rule("r-1", "a.test", "/old");
  r.redirect = Redirect{"https", "b.test", 0, PathChange{false, "/new"}, 301};
  EXPECT_TRUE(has(render_rules({r}, config).deny,
                  "redirect code 301 location 'https://b.test:8443/new%[path,regsub(^/old,)]?%[query]'"));
  Rule w = rule("r-2", "a.test", "/v1.0/");
  w.rewrite = PathChange{false, "/"};
  EXPECT_TRUE(has(render_rules({w}, config).change, "set-path '%[path,regsub(^/v1[.]0/?,/)]' if"));
  Rule a = rule("r-3", "a.test");
  a.access = {{"10.0.0.0/8"}, {"10.1.0.0/16"}, 5};
  const RuleTexts texts = render_rules({a}, config);
  EXPECT_TRUE(has(texts.deny, "!{ src 10.0.0.0/8 }"));
  EXPECT_TRUE(has(texts.deny, "{ sc0_http_req_rate(rate-r-3) gt 5 }"));
  EXPECT_TRUE(has(texts.tables, "backend rate-r-3"));
}

TEST(Rules, SignaturesTellWhatMatchesTheSame) {
  Rule a = rule("r-1", "a.test", "/x/"), b = rule("r-2", "a.test", "/x");
  EXPECT_EQ(a.matches[0].signature(), b.matches[0].signature());
  b.matches[0].exact = true;
  EXPECT_NE(a.matches[0].signature(), b.matches[0].signature());
}

}  // namespace
}  // namespace mainstay::routing
