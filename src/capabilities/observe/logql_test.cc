// The parser, the stages, and the numbers made of lines.
#include "capabilities/observe/logql.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>

#include "capabilities/observe/log_metrics.h"
#include "capabilities/observe/log_prefilter.h"
#include "capabilities/observe/log_query.h"
#include "capabilities/observe/log_template.h"
#include "capabilities/observe/segments.h"

namespace mainstay::observe {
namespace {
namespace fs = std::filesystem;

LogExpression parse(std::string_view text) {
  auto parsed = parse_logql(text);
  EXPECT_TRUE(parsed) << text << ": " << parsed.error().message;
  return parsed ? *parsed : LogExpression{};
}

// The labels and the text after a query's stages; nullopt where the line does not pass.
struct After {
  StreamLabels labels;
  std::string line;
};
std::optional<After> after(std::string_view stages, std::string_view line) {
  const StreamLabels stream{{"pod", "web"}};
  PassingLine passing{line, 1'700'000'000'000'000, stream, {}};
  if (!through(parse(R"({a="b"} )" + std::string(stages)).selector.stages, stream, passing)) return std::nullopt;
  return After{passing.labels, std::string(passing.line)};
}
StreamLabels labels_after(std::string_view stages, std::string_view line) {
  const auto found = after(stages, line);
  return found ? found->labels : StreamLabels{};
}

TEST(LogQL, ReadsWhatGrafanaWrites) {
  for (const char* good :
       {R"(sum by (level, detected_level) (count_over_time({namespace="shop"} |= `x` | drop __error__ [1m])))",
        R"({a="b"} | json | logfmt | drop __error__, __error_details__)", R"({a="b"} |~ `(?i)error` | __error__=``)",
        R"(topk(5, sum(rate({a="b"}[1m0s])) by (pod)))", R"(sum(rate({a="b"} [5m])) / sum(rate({c="d"}[5m])) * 100)",
        R"(quantile_over_time(0.99, {a="b"} | json | unwrap duration(took) | __error__="" [1m]) by (pod))",
        R"(sum(count_over_time({a="b"}[1m] offset 1h)) > bool 5)", R"((sum by (x) (rate({a="b"}[1m]))) or vector(0))",
        R"(bytes_over_time({a="b"}[1h]) > 0 and on(pod) count_over_time({a="b"}[1h]) unless ignoring(x) vector(1))",
        R"({a="b"} | (x = 1 or y > 10ms) and z <= 5MB, w != "q")", R"(-1 ^ 2 ^ 3 % 4)",
        R"({a="b"} | json x="a.b[0]", y="c[\"d e\"]", z | label_format q=x, r="{{.y | upper}}" | keep q, r="A")"})
    EXPECT_TRUE(parse_logql(good)) << good << ": " << parse_logql(good).error().message;
}

TEST(LogQL, SaysWhatItDoesNotKnow) {
  const auto error = [](std::string_view text) {
    const auto parsed = parse_logql(text);
    EXPECT_FALSE(parsed) << text;
    return parsed ? "" : parsed.error().message;
  };
  const std::pair<const char*, const char*> cases[] = {
      {R"({a="b"} | unpack)", "operator \"unpack\" is not supported; there are json"},
      {R"(absent_over_time({a="b"}[1m]))", "function \"absent_over_time\" is not supported"},
      {R"(rate({a="b"}[1m]) * on(x) group_left(y) rate({a="c"}[1m]))", "group_left"},
      {R"(sum_over_time({a="b"}[1m]))", "unwrap LABEL"},
      {R"(count_over_time({a="b"} | unwrap x [1m]))", "numbers"},
      {R"(count_over_time({a="b"}[1m]) by (x))", "an aggregation around it"},
      {R"({a="b"} | unwrap x)", "within a range function"},
      {R"({a="b"} | unwrap speed(x))", "within a range function"},
      {R"({a="b"} | pattern "<_> x")", "a capture"},
      {R"({a="b"} | pattern "<a><b>")", "between two captures"},
      {R"q({a="b"} | regexp "(x)")q", "(?P<name>…)"},
      {R"({a="b"} | line_format "{{if .x}}a{{end}}")", "no if"},
      {R"({a="b"} | line_format "{{.x")", "| or }}"},
      {R"({a="b"} | line_format "{{.x | frobnicate}}")", "lower, upper"},
      {R"({a="b"} | x > "5")", "a number"},
      {R"({a="b"} | x =~ 5)", "a quoted string"},
      {R"({a="b"} | x > 5parsecs)", "a duration such as 250ms"},
      {R"({a="b"} | x = ip("1.2.3.4"))", "ip"},
      {R"({a="b"} | json x="a..b")", "a path"},
      {R"({a="b"} | json --strict)", "without flags"},
      {R"({a="b"} + 1)", "lines cannot be reckoned with"},
      {R"(1 + {a="b"})", "lines cannot be reckoned with"},
      {R"(rate({a="b"}[1m]) and 1)", "series on both sides"},
      {R"(topk(0, rate({a="b"}[1m])))", "from 1 to 1000"},
      {R"(sum(5))", "a range function"},
      {R"(rate({a="b"}[5x]))", "a duration from 1ms to 31d"}};
  for (const auto& [query, said] : cases) EXPECT_NE(error(query).find(said), std::string::npos) << error(query);
}

TEST(LogQL, BindsAsPrometheusDoes) {
  const auto value = [](std::string_view text) {
    const auto found = evaluate({}, parse(text), {0, 1, 1});
    EXPECT_TRUE(found) << text;
    return found->series.at(0).values.at(0);
  };
  EXPECT_EQ(value("1 + 2 * 3"), 7);
  EXPECT_EQ(value("(1 + 2) * 3 - 1"), 8);
  EXPECT_EQ(value("2 ^ 3 ^ 2"), 512);
  EXPECT_EQ(value("10 - 2 - 3"), 5);
  EXPECT_EQ(value("7 % 4 > bool 2"), 1);
  EXPECT_EQ(value("vector(1)+vector(1)"), 2);
}

TEST(Stages, Patterns) {
  const std::string line = R"(10.0.0.1 - - "GET /cart?x=1 HTTP/1.1" 200 17)";
  EXPECT_EQ(
      labels_after(R"(| pattern `<ip> - - "<method> <path> <_>" <status> <_>`)", line),
      (StreamLabels{{"ip", "10.0.0.1"}, {"method", "GET"}, {"path", "/cart?x=1"}, {"pod", "web"}, {"status", "200"}}));
  EXPECT_EQ(labels_after("| pattern `<a> NO <b>`", line), (StreamLabels{{"pod", "web"}}));
  EXPECT_EQ(labels_after("| pattern `<10 <a>`", "<10 x"), (StreamLabels{{"a", "x"}, {"pod", "web"}}));
}

TEST(Stages, RegularExpressions) {
  EXPECT_EQ(labels_after(R"(| regexp "(?P<pod>\\w+) took (?P<ms>\\d+)(?P<more>x)?")", "GET took 12ms"),
            (StreamLabels{{"more", ""}, {"ms", "12"}, {"pod", "web"}, {"pod_extracted", "GET"}}));
}

TEST(Stages, NamedMembers) {
  const std::string line = R"({"a":{"b":[1,{"c d":"x"}]},"n":null,"s":{"t":2}})";
  EXPECT_EQ(labels_after(R"(| json one="a.b[0]", two="a.b[1][\"c d\"]", gone="z", all="s", n)", line),
            (StreamLabels{{"all", R"({"t":2})"}, {"gone", ""}, {"n", ""}, {"one", "1"}, {"pod", "web"}, {"two", "x"}}));
  EXPECT_EQ(labels_after(R"(| logfmt l="level", msg)", "level=info msg=hi other=1"),
            (StreamLabels{{"l", "info"}, {"msg", "hi"}, {"pod", "web"}}));
}

TEST(Stages, Formats) {
  const auto made =
      after(R"(| logfmt | line_format "{{.level | upper}} {{ __line__ }} {{ default \"-\" .none }}")", "level=info");
  ASSERT_TRUE(made);
  EXPECT_EQ(made->line, "INFO level=info -");
  // What comes after sees the new line.
  EXPECT_TRUE(after(R"(| line_format "{{.pod}}!" |= "web!")", "other"));
  EXPECT_FALSE(after(R"(| line_format "{{.pod}}!" |= "other")", "other"));
  EXPECT_EQ(
      labels_after(R"(| logfmt | label_format a=level, b="{{.a}}-{{ .pod | replace \"w\" \"W\" }}")", "level=info"),
      (StreamLabels{{"a", "info"}, {"b", "info-Web"}, {"pod", "web"}}));
  const auto filled = [](std::string_view format) {
    return after(fmt::format("| line_format `{}`", format), "0123456789")->line;
  };
  EXPECT_EQ(filled("{{trunc 3 __line__}} {{trunc -3 __line__}} {{trunc 99 __line__}}"), "012 789 0123456789");
  EXPECT_EQ(filled("{{substr 2 5 __line__}} {{substr 8 -1 __line__}} {{substr -1 2 __line__}}"), "234 89 01");
  EXPECT_EQ(filled("a {{- .pod -}} b {{ .pod }} c {{- .pod | upper -}} "), "awebb web cWEB");
  EXPECT_EQ(after("| decolorize", "\x1b[31mred\x1b[0m x")->line, "red x");
}

TEST(Stages, AFilterOfLinesMayFollowAParser) {
  EXPECT_EQ(labels_after(R"(| logfmt != "probe")", "a=1"), (StreamLabels{{"a", "1"}, {"pod", "web"}}));
  EXPECT_FALSE(after(R"(| logfmt != "probe")", "a=probe"));
  EXPECT_FALSE(after(R"(| json !~ "pro.e")", R"({"a":"probe"})"));
  EXPECT_FALSE(after(R"(| decolorize != "red")", "red"));
}

TEST(Stages, DropAndKeep) {
  EXPECT_EQ(labels_after(R"(| logfmt | drop a, b="x", c="no")", "a=1 b=x c=y"),
            (StreamLabels{{"c", "y"}, {"pod", "web"}}));
  EXPECT_EQ(labels_after("| logfmt | keep a", "a=1 b=x"), (StreamLabels{{"a", "1"}}));
  EXPECT_EQ(labels_after("| json | drop __error__", "no json"), (StreamLabels{{"pod", "web"}}));
  EXPECT_EQ(labels_after("| json | logfmt | drop __error__", "a=1"), (StreamLabels{{"a", "1"}, {"pod", "web"}}));
}

TEST(Stages, ComparesUnitsAndParentheses) {
  const auto passes = [](std::string_view filter) {
    return after("| logfmt | " + std::string(filter), "d=1.5s b=2KiB n=5 t=x").has_value();
  };
  for (const char* good :
       {"d > 1s", "d <= 1500ms", "b >= 2048B", "b < 1MB", "n == 5", "(n = 1 or t = \"x\") and d > 1s",
        "n = 1 or (t = \"x\" and n = 5)", "t != 5", "n = 5 t = \"x\"", "n = 1 t = \"x\" or n = 5 (d > 1s)"})
    EXPECT_TRUE(passes(good)) << good;
  for (const char* bad :
       {"d > 2s", "b > 1MB", "(n = 1 or t = \"x\") and d > 2s", "t > 1s", "n = 1 or t = \"y\"", "n = 5 t = \"y\""})
    EXPECT_FALSE(passes(bad)) << bad;
}

TEST(Prefilter, PassesOverNoLineThatMatches) {
  const std::string text = "1\to\tneedle\tc\tw\tnothing\n2\to\tp\tc\tw\ta needle here\n3\to\tp\tc\tw\tend\n";
  const auto lines = [&text](std::unique_ptr<const LinePrefilter> filter) {
    std::vector<int> out;
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t hit = filter->next(text, at);
      if (hit == std::string_view::npos) break;
      const auto before = text.rfind('\n', hit);
      out.push_back(text[before == std::string::npos || hit == 0 ? 0 : before + 1] - '0');
      at = text.find('\n', hit) + 1;
    }
    return out;
  };
  // The first record's pod is so called: it is looked at, and left out then.
  EXPECT_EQ(lines(LinePrefilter::of_regex("needle")), (std::vector<int>{1, 2}));
  EXPECT_EQ(lines(LinePrefilter::of_regex("n[^q]*here$")), std::vector<int>{2});
  EXPECT_EQ(lines(LinePrefilter::of_regex("nothing[^x]*needle")), std::vector<int>{}) << "not over the end of a line";
  EXPECT_EQ(lines(LinePrefilter::of_regex("(?i)END$")), std::vector<int>{3});
  EXPECT_EQ(lines(LinePrefilter::of_regex("(?s:h.*e)")).back(), 2);
  // What is asked of a line's beginning cannot be asked of the whole.
  for (const char* anchored : {"^a", "(^|x)a", "\\Aa", "a\\z", "(?-m:a$)", "(?i-sm:a$)", "(?-ism)a$", ""})
    EXPECT_FALSE(LinePrefilter::of_regex(anchored)) << anchored;
  EXPECT_EQ(LinePrefilter::of(parse(R"({a="b"} |= "x" | line_format "y" |= "longer")").selector)->next("..x", 0), 2u);
  EXPECT_FALSE(LinePrefilter::of(parse(R"({a="b"} != "x" | json)").selector));
}

TEST(LabelFilter, DurationsEndAtAHundredYears) {
  const auto seconds = [](std::string_view text) { return number_of(text, LabelFilter::Unit::kDuration); };
  EXPECT_EQ(seconds("1w1d1s"), 8 * 86400 + 1);
  for (const char* text : {"99999w", "99999d2500000h", "5000w20000d"}) EXPECT_FALSE(seconds(text)) << text;
}

TEST(Stages, BoundWhatTheyMakeOfALine) {
  std::string query = "| label_format a0=\"{{__line__}}\"";
  for (int i = 1; i < 20; ++i) query += fmt::format(", a{}=\"{{{{__line__}}}}\"", i);
  EXPECT_EQ(labels_after(query, "short").size(), 21u);
  EXPECT_EQ(labels_after(query, std::string(kMaxLabelBytes / 16, 'x')),
            (StreamLabels{{"__error__", "LabelsTooLarge"}, {"pod", "web"}}));
}

TEST(FindLines, KeepsSoManyBytesAndNoMore) {
  char name[] = "/tmp/log-lines-XXXXXX";
  const fs::path folder = ::mkdtemp(name);
  auto segments = Segments::open(folder / "shop");
  ASSERT_TRUE(segments);
  std::vector<LogRecord> records;
  for (int i = 0; i < 300; ++i) records.push_back({i, "p", "c", "w", 'o', std::string(kMaxLine, 'x')});
  ASSERT_TRUE(segments->append(records, {}));
  const auto query = parse(R"({pod="p"} | label_format a="{{__line__}}", b="{{__line__}}", c="{{__line__}}")").selector;
  const std::vector<LogSpace> spaces{{"shop", "", true, true}};
  EXPECT_TRUE(find_lines(folder, spaces, query, {}, 100, true));
  const auto all = find_lines(folder, spaces, query, {}, 300, true);
  EXPECT_FALSE(all);
  if (!all) EXPECT_NE(all.error().message.find("limit"), std::string::npos);
  fs::remove_all(folder);
}

class NumbersTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/log-numbers-XXXXXX";
    source_.folder = ::mkdtemp(name);
    source_.spaces = {{"shop", "shop", true, true}};
    auto segments = Segments::open(source_.folder / "shop");
    ASSERT_TRUE(segments);
    std::vector<LogRecord> records;
    for (int i = 1; i <= 10; ++i)
      records.push_back({i * 1'000'000, i % 2 ? "web-1" : "web-2", "main", "web", 'o',
                         fmt::format("level={} took={}ms size={}kB n={}", i % 5 ? "info" : "error", i * 10, i, i)});
    records.push_back({5'500'000, "web-1", "main", "web", 'o', "took=fast"});
    ASSERT_TRUE(segments->append(records, {}));
  }
  void TearDown() override { fs::remove_all(source_.folder); }
  // "labels=value" of each series at the one time, in the order of labels.
  std::vector<std::string> at(std::string_view query, std::int64_t seconds) {
    const auto found = evaluate(source_, parse(query), {seconds * 1'000'000, 1, 1});
    EXPECT_TRUE(found) << query << ": " << found.error().message;
    std::vector<std::string> out;
    for (const LogSeries& s : found->series) {
      if (std::isnan(s.values[0])) continue;
      std::string text;
      for (const auto& [label, value] : s.labels) text += label + "=" + value + " ";
      out.push_back(text + fmt::format("{}", s.values[0]));
    }
    return out;
  }
  LogSource source_;
};
using Texts = std::vector<std::string>;

TEST_F(NumbersTest, OfUnwrappedLabels) {
  const auto over = [&](std::string_view function) {
    return at(fmt::format(R"({}({{namespace="shop"}} | logfmt | unwrap duration(took) [4s]) by (workload))", function),
              10);
  };
  // Lines of 7 to 10 s.
  EXPECT_EQ(over("sum_over_time"), Texts{"workload=web 0.34"});
  EXPECT_EQ(over("avg_over_time"), Texts{"workload=web 0.085"});
  EXPECT_EQ(over("min_over_time"), Texts{"workload=web 0.07"});
  EXPECT_EQ(over("max_over_time"), Texts{"workload=web 0.1"});
  EXPECT_EQ(over("first_over_time"), Texts{"workload=web 0.07"});
  EXPECT_EQ(over("last_over_time"), Texts{"workload=web 0.1"});
  EXPECT_EQ(at(R"(quantile_over_time(0.5, {namespace="shop"} | logfmt | unwrap n [4s]) by (x))", 10), Texts{"8.5"});
  EXPECT_EQ(at(R"(sum(sum_over_time({namespace="shop"} | logfmt | unwrap bytes(size) [4s])))", 10), Texts{"34000"});
  EXPECT_EQ(at(R"(stddev_over_time({namespace="shop"} | logfmt | unwrap n [2s]) by ())", 10), Texts{"0.5"});
}

TEST_F(NumbersTest, LeavesOutWhatIsNoNumber) {
  auto segments = Segments::open(source_.folder / "odd");
  ASSERT_TRUE(segments);
  ASSERT_TRUE(segments->append({{9'000'000, "p", "c", "w", 'o', "n=1"}, {9'500'000, "p", "c", "w", 'o', "n=NaN"}}, {}));
  source_.spaces = {{"odd", "", true, true}};
  for (const char* function : {"sum", "avg", "min", "max", "last"})
    EXPECT_EQ(at(fmt::format(R"({}_over_time({{pod="p"}} | logfmt | unwrap n [4s]) by ())", function), 10), Texts{"1"});
}

TEST_F(NumbersTest, BoundsTheWorkOfLongRanges) {
  auto segments = Segments::open(source_.folder / "many");
  ASSERT_TRUE(segments);
  std::vector<LogRecord> records;
  for (int i = 0; i < 20'000; ++i) records.push_back({i, "p", "c", "w", 'o', "n=1"});
  ASSERT_TRUE(segments->append(records, {}));
  source_.spaces = {{"many", "", true, true}};
  const auto e = parse(R"(sum_over_time({pod="p"} | logfmt | unwrap n [1h]))");
  const auto once = evaluate(source_, e, {1'000'000, 1, 1});
  ASSERT_TRUE(once);
  EXPECT_EQ(once->series.at(0).values.at(0), 20'000);
  const auto often = evaluate(source_, e, {1'000'000, 1000, kMaxSteps});
  ASSERT_FALSE(often);
  EXPECT_NE(often.error().message.find("make the step longer"), std::string::npos);
}

TEST_F(NumbersTest, OfCounts) {
  EXPECT_EQ(at(R"(sum by (level) (count_over_time({namespace="shop"} | logfmt [10s])))", 10),
            (Texts{"1", "level=error 2", "level=info 8"}));
  EXPECT_EQ(at(R"(count_over_time({pod="web-2"}[10s] offset 4s))", 10).size(), 1u);
  EXPECT_EQ(at(R"(sum(count_over_time({namespace="shop"} |= "level" [3s] offset 4s)))", 10), Texts{"3"});
  EXPECT_EQ(at(R"(topk(1, sum by (pod) (count_over_time({namespace="shop"}[20s]))))", 10), Texts{"pod=web-1 6"});
  EXPECT_EQ(at(R"(bottomk(1, sum by (pod) (count_over_time({namespace="shop"}[20s]))))", 10), Texts{"pod=web-2 5"});
  EXPECT_EQ(at(R"(sort_desc(sum by (pod) (count_over_time({namespace="shop"}[20s]))))", 10),
            (Texts{"pod=web-1 6", "pod=web-2 5"}));
}

TEST_F(NumbersTest, OfOperators) {
  const std::string errors = R"(sum by (pod) (count_over_time({namespace="shop"} |= "error" [20s])))",
                    all = R"(sum by (pod) (count_over_time({namespace="shop"}[20s])))";
  EXPECT_EQ(at(errors + " / " + all, 10), (Texts{"pod=web-1 0.16666666666666666", "pod=web-2 0.2"}));
  EXPECT_EQ(at(all + " > 5", 10), Texts{"pod=web-1 6"});
  EXPECT_EQ(at(all + " > bool 5", 10), (Texts{"pod=web-1 1", "pod=web-2 0"}));
  EXPECT_EQ(at("100 * " + all, 10), (Texts{"pod=web-1 600", "pod=web-2 500"}));
  EXPECT_EQ(at(all + " unless (" + all + " > 5)", 10), Texts{"pod=web-2 5"});
  EXPECT_EQ(at(all + " and (" + all + " > 5)", 10), Texts{"pod=web-1 6"});
  EXPECT_EQ(at("(" + all + " > 100) or vector(0)", 10), Texts{"0"});
  // What a side leaves out at a step matches nothing there.
  EXPECT_EQ(at("topk(1, " + all + ") / on () sum(" + all + ")", 10), Texts{"0.5454545454545454"});
  EXPECT_EQ(at("(" + all + " > 5) == on (team) topk(1, " + all + ")", 10), Texts{"6"});
  const auto many = evaluate(source_, parse(all + " / on (team) " + all), {10'000'000, 1, 1});
  ASSERT_FALSE(many);
  EXPECT_NE(many.error().message.find("several series"), std::string::npos);
}

}  // namespace
}  // namespace mainstay::observe
