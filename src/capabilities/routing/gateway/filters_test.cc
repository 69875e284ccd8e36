#include "capabilities/routing/gateway/filters.h"

#include <gtest/gtest.h>

#include "base/yaml.h"

namespace mainstay::routing {
namespace {
using std::chrono::milliseconds;

// "" where the rule is served.
std::string fault(const std::string& spec) {
  Rule rule;
  const auto found = read_rule(*base::parse_yaml(spec), rule);
  return found ? found->reason + ": " + found->message : "";
}
std::optional<milliseconds> timeout(const std::string& spec) {
  Rule rule;
  EXPECT_FALSE(read_rule(*base::parse_yaml(spec), rule)) << spec;
  return rule.timeout;
}

TEST(Filters, WhatDoesNotFitItsTypeIsAFault) {
  const std::string header = "{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: A, value: b}]}}",
                    redirect = "{type: RequestRedirect, requestRedirect: {hostname: a.test}}",
                    rewrite =
                        "{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}";
  EXPECT_EQ(fault("filters: [" + header + ", " + rewrite + "]"), "");
  EXPECT_EQ(fault("filters: [" + redirect + "]"), "");
  const struct {
    std::string spec, expected;
  } kRows[] = {
      {"filters: [{type: RequestRedirect}]",
       "UnsupportedValue: filters[0]: type RequestRedirect needs requestRedirect"},
      {"filters: [{type: URLRewrite, urlRewrite: {hostname: a}, requestRedirect: {}}]",
       "UnsupportedValue: filters[0]: requestRedirect does not belong to type URLRewrite"},
      {"filters: [{type: RequestMirror}]",
       "UnsupportedValue: filters[0]: filters of type RequestMirror are not served"},
      {"filters: [" + header + ", " + header + "]",
       "UnsupportedValue: filters[1]: a second RequestHeaderModifier; put both into one"},
      {"filters: [" + redirect + ", " + rewrite + "]",
       "IncompatibleFilters: filters: RequestRedirect and URLRewrite exclude each other"},
      {"{filters: [" + redirect + "], backendRefs: [{name: a, port: 80}]}",
       "IncompatibleFilters: filters: RequestRedirect answers by itself; take backendRefs away"},
      {"filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch}}}]",
       "UnsupportedValue: filters[0].urlRewrite.path: type ReplacePrefixMatch needs replacePrefixMatch alone"},
      {"filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath, replaceFullPath: /a, "
       "replacePrefixMatch: /b}}}]",
       "UnsupportedValue: filters[0].urlRewrite.path: type ReplaceFullPath needs replaceFullPath alone"},
      {"{matches: [{path: {type: Exact, value: /a}}], filters: [" + rewrite + "]}",
       "UnsupportedValue: filters: ReplacePrefixMatch needs matches by PathPrefix"},
  };
  for (const auto& row : kRows) EXPECT_EQ(fault(row.spec), row.expected) << row.spec;
}

TEST(Filters, TheSmallerTimeoutCounts) {
  EXPECT_EQ(timeout("{}"), std::nullopt);
  EXPECT_EQ(timeout("timeouts: {request: 10s}"), milliseconds(10000));
  EXPECT_EQ(timeout("timeouts: {request: 10s, backendRequest: 500ms}"), milliseconds(500));
  EXPECT_EQ(timeout("timeouts: {request: 0s, backendRequest: 1s}"), milliseconds(1000));
  EXPECT_EQ(timeout("timeouts: {request: 1s, backendRequest: 0s}"), milliseconds(1000));
  EXPECT_EQ(timeout("timeouts: {backendRequest: 0s}"), milliseconds(0));
  EXPECT_EQ(fault("timeouts: {request: 1s, backendRequest: 2s}"),
            "UnsupportedValue: timeouts.backendRequest: may not be longer than timeouts.request");
  EXPECT_EQ(fault("timeouts: {request: 25h}"),
            "UnsupportedValue: timeouts.request: \"25h\" is no duration of at most 24h");
}

TEST(Filters, Durations) {
  EXPECT_EQ(read_duration("1h2m3s4ms"), std::chrono::hours(1) + std::chrono::minutes(2) + milliseconds(3004));
  EXPECT_EQ(read_duration("0s"), milliseconds(0));
  for (const char* text : {"", "1", "s", "1.5s", "-1s", "100000s", "1s1s1s1s1s", "1d", "1 s", "99999999999999999999h"})
    EXPECT_FALSE(read_duration(text)) << text;
}

TEST(Filters, AGrpcRouteIsARouteOfPaths) {
  const json::value route = http_route_of(*base::parse_yaml(R"(spec:
  hostnames: [a.test]
  rules:
    - matches:
        - {method: {service: x.Greeter, method: Hello}, headers: [{name: v, value: '2'}]}
        - {method: {service: x.Greeter}}
        - {headers: [{name: v, value: '3'}]}
      backendRefs: [{name: b, port: 80}]
    - matches: [{method: {method: Hello}}])"));
  const json::array& rules = base::get_array(route, "spec.rules");
  const json::array& matches = base::get_array(rules[0], "matches");
  const Match exact = read_match(matches[0]), service = read_match(matches[1]), all = read_match(matches[2]);
  EXPECT_TRUE(exact.exact);
  EXPECT_EQ(exact.path, "/x.Greeter/Hello");
  EXPECT_EQ(exact.method, "");
  EXPECT_EQ(exact.headers.size(), 1u);
  EXPECT_FALSE(service.exact);
  EXPECT_EQ(service.path, "/x.Greeter");
  EXPECT_EQ(all.path, "/");
  Rule rule;
  EXPECT_FALSE(read_rule(rules[0], rule));
  const auto fault = read_rule(rules[1], rule);
  ASSERT_TRUE(fault);
  EXPECT_EQ(fault->message, "matches[0].method: a method without its service is not served");
}

}  // namespace
}  // namespace mainstay::routing
