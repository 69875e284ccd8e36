#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>

#include "capabilities/observe/log_metrics.h"
#include "capabilities/observe/log_query.h"
#include "capabilities/observe/loki_request.h"
#include "capabilities/observe/platform_logs.h"
#include "capabilities/observe/segments.h"

namespace mainstay::observe {
namespace {
namespace fs = std::filesystem;

LogExpression parse(std::string_view text) {
  auto parsed = parse_logql(text);
  EXPECT_TRUE(parsed) << text << ": " << parsed.error().message;
  return parsed ? *parsed : LogExpression{};
}

TEST(LogQL, ReadsSelectorsAndFilters) {
  const auto e = parse(R"({namespace="shop-dev", pod=~"web.*",} |= "er\"r" != `a\b` |~ "5\\d\\d" !~ "x" # done)");
  ASSERT_EQ(e.selector.matchers.size(), 2u);
  EXPECT_TRUE(e.selector.matchers[1].matches("web-1"));
  EXPECT_FALSE(e.selector.matchers[1].matches("a-web-1")) << "anchored";
  ASSERT_EQ(e.selector.stages.size(), 4u);
  EXPECT_EQ(e.selector.stages[0].line.text, "er\"r");
  EXPECT_EQ(e.selector.stages[1].line.text, "a\\b");
  EXPECT_TRUE(e.selector.stages[2].line.matches("GET 503 x"));
  EXPECT_TRUE(e.lines());
}

TEST(LogQL, ReadsCounts) {
  const auto e = parse(R"(sum by (pod, team) (rate({a="b"} |= "x" [5m])))");
  ASSERT_EQ(e.kind, LogExpression::Kind::kAggregate);
  EXPECT_EQ(e.aggregation, Aggregation::kSum);
  EXPECT_EQ(e.grouping.labels, (std::vector<std::string>{"pod", "team"}));
  const LogExpression& range = e.parts.at(0);
  EXPECT_EQ(range.function, RangeFunction::kRate);
  EXPECT_EQ(range.range, std::chrono::minutes(5));
  EXPECT_TRUE(parse(R"(max(count_over_time({a="b"}[1d2h])) without (x))").grouping.without);
  EXPECT_EQ(parse(R"(count_over_time({a="b"}[1d2h]))").range, std::chrono::hours(26));
}

TEST(LogQL, RefusesWhatItDoesNotKnow) {
  for (const char* bad : {"", "{", "{}x", "{a}", "{a=b}", R"({a="b)", R"({a=~"("})", R"({a="b"} |= )",
                          "rate({a=\"b\"})", R"(rate({a="b"}[0s]))", R"(rate({a="b"}[99999d]))", R"(sum({a="b"}))",
                          R"({a="b"} |= "\q")", "vector(x)", "1+"}) {
    EXPECT_FALSE(parse_logql(bad)) << bad;
  }
  EXPECT_FALSE(parse_logql(std::string(100, '(') + "{a=\"b\"}" + std::string(100, ')')));
  EXPECT_FALSE(parse_logql(std::string(10'000, ' ')));
}

StreamLabels after(std::string_view query, std::string_view line) {
  const StreamLabels stream{{"pod", "web"}};
  PassingLine passing{line, 0, stream, {}};
  if (!through(parse(query).selector.stages, stream, passing)) return {};
  return passing.labels;
}

TEST(LogPipeline, ParsesJson) {
  EXPECT_EQ(after(R"({a="b"} | json)", R"({"status":500,"pod":"x","http":{"path":"/a","ok":true},"l":[1],"n":null})"),
            (StreamLabels{
                {"http_ok", "true"}, {"http_path", "/a"}, {"pod", "web"}, {"pod_extracted", "x"}, {"status", "500"}}));
  EXPECT_EQ(after(R"({a="b"} | json | keep t, r)", R"({"t":1700000000.125,"r":0.5})"),
            (StreamLabels{{"r", "0.5"}, {"t", "1700000000.125"}}));
  EXPECT_EQ(after(R"({a="b"} | json)", "no"), (StreamLabels{{"__error__", "JSONParserErr"}, {"pod", "web"}}));
  EXPECT_EQ(after(R"({a="b"} | json | __error__="")", "no"), StreamLabels{});
}

TEST(LogPipeline, ParsesLogfmt) {
  EXPECT_EQ(after(R"({a="b"} | logfmt)", R"(level=info msg="a \"b\" c" flag a.b=)"),
            (StreamLabels{{"a_b", ""}, {"level", "info"}, {"msg", "a \"b\" c"}, {"pod", "web"}}));
  EXPECT_EQ(after(R"({a="b"} | logfmt | keep msg)", R"(msg="a\n\tb\u00e9" x="\\")"),
            (StreamLabels{{"msg", "a\n\tbé"}}));
  EXPECT_EQ(after(R"({a="b"} | logfmt | keep msg)", R"(msg="\x\"y")"), (StreamLabels{{"msg", "x\"y"}}));
  for (const char* open : {R"(msg="open)", R"(msg="open\")", R"(msg="open\)"})
    EXPECT_EQ(after(R"({a="b"} | logfmt)", open)[0].first, "__error__") << open;
}

TEST(LogPipeline, FiltersLabels) {
  const auto passes = [](std::string_view filter) {
    return !after(fmt::format(R"({{a="b"}} |= "s" | json | {})", filter), R"({"s":500,"h":"web.dev"})").empty();
  };
  for (const char* good : {"s >= 500", "s = 500", "s > 400 and s < 600", R"(h =~ "web.*", s != 200)",
                           R"(s < 5 or h = "web.dev")", R"(nosuch = "")", R"(pod = "web")", "h != 5"})
    EXPECT_TRUE(passes(good)) << good;
  for (const char* bad : {"s < 500", "h > 5", "nosuch = 5", R"(s < 5 or s > 900 and h = "web.dev")", R"(h !~ "web.*")"})
    EXPECT_FALSE(passes(bad)) << bad;
}

class QueryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/log-query-XXXXXX";
    folder_ = ::mkdtemp(name);
    write("shop-dev", {{1'000'000, "web-1", "main", "web", 'o', "one GET"},
                       {3'000'000, "web-2", "main", "web", 'e', "three error"},
                       {2'000'000, "web-1", "main", "web", 'o', "two POST"},
                       {4'000'000, "", "", "", 'a', "audited"}});
    write("rival-dev", {{2'500'000, "api-1", "main", "api", 'o', "secret GET"}});
  }
  void TearDown() override { fs::remove_all(folder_); }
  void write(const std::string& ns, const std::vector<LogRecord>& records) {
    auto segments = Segments::open(folder_ / ns);
    ASSERT_TRUE(segments);
    ASSERT_TRUE(segments->append(records, {{"/f", 1}}));
  }
  std::vector<std::string> lines(std::string_view query, std::vector<LogSpace> spaces, std::size_t limit = 100,
                                 bool newest = true) {
    const auto found = find_lines(folder_, spaces, parse(query).selector, {}, limit, newest);
    EXPECT_TRUE(found);
    std::vector<std::string> out;
    for (const FoundLine& l : found->lines) out.push_back(l.line);
    return out;
  }
  fs::path folder_;
  std::vector<LogSpace> shop_{{"shop-dev", "shop", true, false}};
  std::vector<LogSpace> all_{{"shop-dev", "shop", true, true}, {"rival-dev", "rival", true, true}};
};

using Lines = std::vector<std::string>;

TEST_F(QueryTest, FindsByLabelAndWordInOrder) {
  EXPECT_EQ(lines(R"({namespace=~".+"})", shop_), (Lines{"one GET", "two POST", "three error"}));
  EXPECT_EQ(lines(R"({pod="web-1"} |= "GET")", all_), (Lines{"one GET"}));
  EXPECT_EQ(lines(R"({stream="stderr"})", all_), (Lines{"three error"}));
  EXPECT_EQ(lines(R"({source="container"} != "GET")", all_), (Lines{"two POST", "three error"}));
  EXPECT_EQ(lines(R"({source="container"})", all_, 2), (Lines{"secret GET", "three error"}));
  EXPECT_EQ(lines(R"({source="container"})", all_, 2, false), (Lines{"one GET", "two POST"}));
  EXPECT_EQ(lines(R"({nosuch=""} |= "one")", all_), (Lines{"one GET"})) << "a missing label is an empty one";
}

TEST_F(QueryTest, KeepsTheOrderOfLinesOfOneTime) {
  write("shop", {{9, "p", "c", "w", 'o', "a"}, {9, "p", "c", "w", 'o', "b"}, {9, "p", "c", "w", 'o', "c"}});
  const std::vector<LogSpace> space{{"shop", "shop", true, true}};
  EXPECT_EQ(lines(R"({pod="p"})", space, 2, false), (Lines{"a", "b"}));
  EXPECT_EQ(lines(R"({pod="p"})", space, 2, true), (Lines{"b", "c"}));
}

TEST_F(QueryTest, ShowsNothingThatTheCallerMayNotSee) {
  EXPECT_EQ(lines(R"({namespace="rival-dev"})", shop_), Lines{});
  EXPECT_EQ(lines(R"({team="rival"})", shop_), Lines{});
  EXPECT_EQ(lines(R"({source="audit"})", shop_), Lines{}) << "logs do not give the audit log";
  EXPECT_EQ(lines(R"({source="audit"})", {{"shop-dev", "shop", false, true}}), (Lines{"audited"}));
  EXPECT_EQ(lines(R"({source="container"})", {{"shop-dev", "shop", false, true}}), Lines{});
  EXPECT_EQ(lines(R"({source="container"})", {{"shop-dev", "shop", true, true, 2'000'000}}),
            (Lines{"two POST", "three error"}))
      << "older lines are of a namespace that had the name before";
}

TEST_F(QueryTest, CountsOverRanges) {
  const auto e = parse(R"(sum by (team) (count_over_time({source="container"}[2s])))");
  const auto counted = evaluate({folder_, all_}, e, {1'000'000, 1'000'000, 5});
  ASSERT_TRUE(counted);
  ASSERT_EQ(counted->series.size(), 2u);
  const LogSeries& shop = counted->series[1];
  EXPECT_EQ(shop.labels, (StreamLabels{{"team", "shop"}}));
  // Lines at 1, 2 and 3 s; each counts at t with t - 2 s < time <= t.
  const std::vector<double> expected{1, 2, 2, 1};
  EXPECT_EQ(std::vector<double>(shop.values.begin(), shop.values.begin() + 4), expected);
  EXPECT_TRUE(std::isnan(shop.values[4]));
  const auto rate = evaluate({folder_, shop_}, parse(R"(rate({pod="web-1"}[10s]))"), {5'000'000, 1, 1});
  ASSERT_EQ(rate->series.size(), 1u);
  EXPECT_DOUBLE_EQ(rate->series[0].values[0], 0.2);
  EXPECT_FALSE(evaluate({folder_, all_}, e, {0, 1, 100'000}));
}

TEST_F(QueryTest, NamesStreams) {
  const auto streams = find_streams(folder_, shop_, {}, {});
  ASSERT_TRUE(streams);
  EXPECT_EQ(streams->size(), 2u);
}

TEST(PlatformLine, OfTheAuditLog) {
  const auto line = parse_audit_line(
      R"({"stageTimestamp":"2026-11-23T18:00:00.000001Z","objectRef":{"namespace":"shop-dev"},"verb":"create"})");
  ASSERT_TRUE(line);
  EXPECT_EQ(line->ns, "shop-dev");
  EXPECT_EQ(line->record.stream, 'a');
  EXPECT_EQ(line->record.time_us % 1'000'000, 1);
  EXPECT_FALSE(parse_audit_line("{}"));
  EXPECT_FALSE(parse_audit_line("rubbish"));
}

TEST(PlatformLine, OfTheEdge) {
  EdgeRequest request;
  const auto line = parse_edge_line(
      R"({"time":1700000000.123,"service":"shop-dev/web","pod":"10.0.0.1","status":503,"time_ms":250,"path":"\/a\\\/\tb"})",
      request);
  ASSERT_TRUE(line);
  EXPECT_EQ(line->ns, "shop-dev");
  EXPECT_EQ(line->record.workload, "web");
  EXPECT_NE(line->record.line.find(R"("path":"/a\\/\tb")"), std::string::npos) << line->record.line;
  EXPECT_EQ(request.code, 503);
  EXPECT_DOUBLE_EQ(request.seconds, 0.25);
  EXPECT_FALSE(parse_edge_line("[NOTICE] haproxy", request));
}

TEST(PlatformLine, OfAnEvent) {
  const auto line = event_line(*base::parse_json(
      R"({"metadata":{"namespace":"shop-dev"},"involvedObject":{"kind":"Pod","name":"web-1"},"type":"Warning",
          "reason":"BackOff","count":3,"lastTimestamp":"2026-11-23T18:00:00Z","message":"a \"b\"\nc"})"));
  EXPECT_EQ(line.ns, "shop-dev");
  EXPECT_EQ(line.record.pod, "web-1");
  EXPECT_EQ(line.record.line, R"(type=Warning reason=BackOff kind=Pod name=web-1 count=3 message="a \"b\"\nc")");
}

TEST(LokiTime, InAllItsForms) {
  EXPECT_EQ(*parse_loki_time("1700000000"), 1700000000000000);
  EXPECT_EQ(*parse_loki_time("1700000000.5"), 1700000000500000);
  EXPECT_EQ(*parse_loki_time("1700000000123456789"), 1700000000123456);
  EXPECT_EQ(*parse_loki_time("2023-11-14T22:13:20Z"), 1700000000000000);
  EXPECT_FALSE(parse_loki_time("yesterday"));
  EXPECT_FALSE(parse_loki_time("99999999999999999999999"));
  EXPECT_FALSE(parse_loki_time("99999999999.0"));
  EXPECT_EQ(*parse_loki_step("30s"), 30'000'000);
  EXPECT_EQ(*parse_loki_step("0.5"), 500'000);
  EXPECT_FALSE(parse_loki_step("0"));
  EXPECT_FALSE(parse_loki_step(""));
}

}  // namespace
}  // namespace mainstay::observe
