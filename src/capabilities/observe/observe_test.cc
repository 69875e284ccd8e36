#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "async/runtime.h"
#include "capabilities/observe/collector.h"

namespace mainstay::observe {
namespace {
namespace fs = std::filesystem;

struct Folder {
  Folder() {
    char name[] = "/tmp/observe-test-XXXXXX";
    path = ::mkdtemp(name);
  }
  ~Folder() { fs::remove_all(path); }
  fs::path path;
};

LogRecord record(std::int64_t us, std::string line, std::string pod = "web-1") {
  return {us, std::move(pod), "web", "web", 'o', std::move(line)};
}

TEST(Record, SurvivesItsOwnForm) {
  std::string text;
  encode(record(1700000000123456, "GET /\ttabs\tstay"), text);
  ASSERT_TRUE(text.ends_with('\n'));
  const auto back = decode(std::string_view(text).substr(0, text.size() - 1));
  ASSERT_TRUE(back);
  EXPECT_EQ(back->time_us, 1700000000123456);
  EXPECT_EQ(back->line, "GET /\ttabs\tstay");
  EXPECT_FALSE(decode("#pos\t12\t/some/file"));
  EXPECT_FALSE(decode("170000"));
}

TEST(Record, IsUtf8AsJson) {
  EXPECT_TRUE(base::parse_json(boost::json::serialize(to_json(record(1, "caf\xE9 \x80")))));
}

TEST(Cri, ReadsWhatConmonWrites) {
  const auto full = parse_cri("2026-11-23T18:22:29.796621574+00:00 stdout F out put");
  ASSERT_TRUE(full);
  EXPECT_EQ(full->text, "out put");
  EXPECT_FALSE(full->partial);
  EXPECT_EQ(full->time_us % 1000000, 796621);
  const auto part = parse_cri("2026-11-23T18:22:29Z stderr P half");
  ASSERT_TRUE(part);
  EXPECT_TRUE(part->partial);
  EXPECT_EQ(part->stream, 'e');
  EXPECT_TRUE(parse_cri("2026-11-23T18:22:29Z stdout F "));
  EXPECT_FALSE(parse_cri("rubbish"));
  EXPECT_FALSE(parse_cri("2026-11-23T18:22:29Z stdin F x"));
}

std::vector<std::string> lines(const fs::path& folder, std::int64_t from = 0, std::int64_t to = INT64_MAX) {
  std::vector<std::string> out;
  Segments::Scan scan;
  scan.from_us = from;
  scan.to_us = to;
  scan.each = [&](const RecordView& r) {
    out.emplace_back(r.line);
    return true;
  };
  EXPECT_TRUE(Segments::scan(folder, scan));
  return out;
}

TEST(Segments, KeepLinesAndPositionsAcrossARestart) {
  Folder folder;
  {
    auto segments = Segments::open(folder.path);
    ASSERT_TRUE(segments);
    ASSERT_TRUE(segments->append({record(1, "a"), record(2, "b")}, {{"/f", 10}}));
  }
  auto again = Segments::open(folder.path);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->positions().at("/f"), 10u);
  EXPECT_EQ(lines(folder.path), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(lines(folder.path, 2, 2), (std::vector<std::string>{"b"}));
}

TEST(Segments, CutWhatWasNeverAcknowledged) {
  Folder folder;
  {
    auto segments = Segments::open(folder.path);
    ASSERT_TRUE(segments->append({record(1, "kept")}, {{"/f", 10}}));
  }
  std::ofstream(folder.path / "open.log", std::ios::app) << "2\to\tweb-1\tweb\tweb\ttorn, without its mark\n3\to\tweb";
  auto again = Segments::open(folder.path);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->positions().at("/f"), 10u);
  EXPECT_EQ(lines(folder.path), (std::vector<std::string>{"kept"}));
}

TEST(Segments, RotateCompressAndTrim) {
  Folder folder;
  auto segments = Segments::open(folder.path);
  const std::string big(60'000, 'x');
  std::int64_t time = 1;
  for (int i = 0; i < 300; ++i)
    ASSERT_TRUE(
        segments->append({record(time++, fmt::format("{} {}", i, big))}, {{"/f", static_cast<std::uint64_t>(i)}}));
  EXPECT_EQ(lines(folder.path).size(), 300u);
  const auto closed = [&] {
    return std::count_if(fs::directory_iterator(folder.path), {},
                         [](const auto& e) { return e.path().extension() == ".zst"; });
  };
  EXPECT_EQ(closed(), 2);
  auto again = Segments::open(folder.path);
  EXPECT_EQ(again->positions().at("/f"), 299u);
  segments->trim(1);
  EXPECT_EQ(closed(), 0);
}

// Times of several containers overlap: a closed segment is named by the oldest of its lines, not by the first.
TEST(Segments, KnowTheirTimesAfterARestart) {
  Folder folder;
  ASSERT_TRUE(Segments::open(folder.path)->append({record(50, "first"), record(20, "older")}, {{"/f", 1}}));
  auto again = Segments::open(folder.path);
  for (int i = 0; i < 140; ++i) ASSERT_TRUE(again->append({record(60, std::string(60'000, 'x'))}, {{"/f", 3}}));
  EXPECT_TRUE(fs::exists(folder.path / fmt::format("{:020}-{:020}.log.zst", 20, 60)));
  EXPECT_EQ(lines(folder.path, 10, 30), (std::vector<std::string>{"older"}));
}

TEST(Segments, KeepLinesOnceWhenClosingThemFails) {
  Folder folder;
  auto segments = Segments::open(folder.path);
  const fs::path closed = folder.path / fmt::format("{:020}-{:020}.log.zst", 60, 60);
  fs::create_directory(closed);
  const LogRecord big = record(60, std::string(60'000, 'x'));
  std::string text;
  for (std::size_t i = 0; i < 141; ++i) {
    ASSERT_TRUE(segments->append({big}, {{"/f", i}})) << "it was kept";
    encode(big, text);
    text += fmt::format("#pos\t{}\t/f\n", i);
  }
  fs::remove(closed);
  EXPECT_EQ(lines(folder.path).size(), 141u);
  // A kill between the two writes of a rotation leaves the open segment as it was.
  for (std::size_t i = 141; !fs::exists(closed); ++i) {
    ASSERT_TRUE(segments->append({big}, {{"/f", i}}));
    encode(big, text);
    text += fmt::format("#pos\t{}\t/f\n", i);
  }
  const std::size_t all = lines(folder.path).size();
  std::ofstream(folder.path / "open.log") << text;
  EXPECT_EQ(lines(folder.path).size(), 2 * all);
  auto again = Segments::open(folder.path);
  ASSERT_TRUE(again);
  EXPECT_EQ(lines(folder.path).size(), all);
  EXPECT_GE(again->positions().at("/f"), 141u);
}

TEST(Segments, OpenOnlyWhatTheTimesAskFor) {
  Folder folder;
  auto segments = Segments::open(folder.path);
  const std::string big(60'000, 'x');
  for (int i = 0; i < 900; ++i)
    ASSERT_TRUE(segments->append({record(i + 1, big)}, {{"/f", static_cast<std::uint64_t>(i)}}));
  Segments::Scan scan;
  scan.newest_first = true;
  std::size_t seen = 0;
  std::int64_t oldest = INT64_MAX;
  scan.each = [&](const RecordView& r) {
    ++seen;
    oldest = std::min(oldest, r.time_us);
    return true;
  };
  const auto all = Segments::scan(folder.path, scan);
  ASSERT_TRUE(all);
  EXPECT_EQ(seen, 900u);
  EXPECT_GE(all->segments, 6u);
  // A span of time opens the segments it touches.
  scan.from_us = 200;
  scan.to_us = 210;
  seen = 0;
  const auto some = Segments::scan(folder.path, scan);
  EXPECT_EQ(seen, 11u);
  EXPECT_LE(some->segments, 3u);
  EXPECT_EQ(some->segments + some->skipped, all->segments);
  EXPECT_LT(some->bytes, all->bytes / 2);
  // Whoever wants the newest alone stops when they have them.
  scan.from_us = 0;
  scan.to_us = INT64_MAX;
  seen = 0;
  oldest = INT64_MAX;
  scan.go_on = [&](std::int64_t bound) { return seen < 10 || bound >= oldest; };
  const auto newest = Segments::scan(folder.path, scan);
  EXPECT_LE(newest->segments, 2u);
}

std::shared_ptr<const LogFilter> filter(LogQuery query) {
  auto compiled = LogFilter::compile(std::move(query));
  EXPECT_TRUE(compiled);
  return *compiled;
}

TEST(Filter, MatchesByFieldAndWord) {
  LogQuery query;
  query.workload = "web";
  query.grep = "err(or)?\\b";
  EXPECT_TRUE(filter(query)->matches(record(1, "an error")));
  EXPECT_FALSE(filter(query)->matches(record(1, "all well")));
  query.pod_prefix = "api-";
  EXPECT_FALSE(filter(query)->matches(record(1, "an error")));
  query.grep = "(";
  EXPECT_FALSE(LogFilter::compile(query));
}

async::Task<> follows_a_file(async::Runtime& runtime, fs::path folder, int* seen) {
  base::Metrics metrics;
  async::TaskGroup tasks(runtime.executor(), "test");
  auto store = std::make_shared<LogStore>(runtime, folder / "logs", 1u << 30);
  auto collector = std::make_shared<Collector>(runtime, tasks, store, metrics);
  EXPECT_TRUE(collector->start());
  const fs::path file = folder / "0.log";
  std::ofstream out(file);
  out << "2026-11-23T18:22:29.000001Z stdout F one\n" << std::flush;
  const auto feed = store->follow({"shop-dev"});
  collector->follow({"shop-dev", "web-1", "u", "web", "web", 0, file});
  while (feed->lines.size() < 1) co_await feed->changed->wait();
  out << "2026-11-23T18:22:29.000002Z stdout P tw\n2026-11-23T18:22:29.000003Z stdout F o\n" << std::flush;
  while (feed->lines.size() < 2) co_await feed->changed->wait();
  out << "2026-11-23T18:22:29.000004Z stderr F three\n" << std::flush;
  co_await collector->finish(file);
  LogQuery query;
  query.ns = "shop-dev";
  const auto found = co_await store->search(filter(query));
  EXPECT_TRUE(found);
  for (const LogRecord& r : *found)
    *seen = *seen * 10 + (r.line == "one" ? 1 : r.line == "two" ? 2 : r.line == "three" ? 3 : 9);
  EXPECT_EQ(collector->following(), 0u);
  tasks.cancel();
  co_await tasks.join();
}

TEST(Collector, KeepsEachLineOnceAndJoinsParts) {
  Folder folder;
  async::Runtime runtime;
  int seen = 0;
  runtime.run(follows_a_file(runtime, folder.path, &seen));
  EXPECT_EQ(seen, 123);
}

async::Task<> searches(async::Runtime& runtime, fs::path folder) {
  LogStore store(runtime, folder, 1u << 30);
  // Over 20 MB: two closed segments and an open one.
  const std::string filler(60'000, 'x');
  for (int i = 0; i < 360; ++i) {
    std::string line = i % 50 == 7 ? fmt::format("{} needle {}", i, filler) : fmt::format("{} {}", i, filler);
    EXPECT_TRUE(co_await store.append("shop", {record(i + 1, std::move(line), i % 2 ? "needle-pod" : "web-1")}, {}));
  }
  const auto found = [&store](std::string grep, std::size_t limit) -> async::Task<std::vector<std::int64_t>> {
    LogQuery query;
    query.ns = "shop";
    query.grep = std::move(grep);
    query.limit = limit;
    std::vector<std::int64_t> times;
    for (const LogRecord& r : (co_await store.search(filter(std::move(query)))).value()) times.push_back(r.time_us);
    co_return times;
  };
  using Times = std::vector<std::int64_t>;
  const Times all{8, 58, 108, 158, 208, 258, 308, 358};
  // A text, an expression that is asked of whole segments, and one that is asked of each line.
  for (const char* grep : {"needle", "ne+dle\\s", "^[0-9]+ needle"}) EXPECT_EQ(co_await found(grep, 100), all) << grep;
  EXPECT_EQ(co_await found("needle", 3), (Times{258, 308, 358})) << "the newest";
  EXPECT_EQ(co_await found("xy", 100), Times{});
}

async::Task<> follows_too_slowly(async::Runtime& runtime, fs::path folder) {
  LogStore store(runtime, folder, 1u << 30);
  const auto feed = store.follow({"shop"});
  const std::vector<LogRecord> many(100, record(1, std::string(60'000, 'x')));
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(co_await store.append("shop", many, {{"/f", 1}}));
  EXPECT_EQ(feed->lines.size() + feed->missed, 400u);
  EXPECT_GT(feed->missed, 0u) << "24 MB are more than a feed holds";
  std::size_t bytes = 0;
  while (!feed->lines.empty()) bytes += feed->take().second.line.size();
  EXPECT_LE(bytes, 16u << 20);
  EXPECT_EQ(feed->bytes, 0u);
}

TEST(LogStore, AFollowerHoldsSoManyBytes) {
  Folder folder;
  async::Runtime runtime;
  runtime.run(follows_too_slowly(runtime, folder.path));
}

async::Task<> searches_much(async::Runtime& runtime, fs::path folder) {
  LogStore store(runtime, folder, 1u << 30);
  for (int i = 0; i < 12; ++i) {
    std::vector<LogRecord> many;
    for (int k = 0; k < 100; ++k) many.push_back(record(i * 100 + k, std::string(60'000, 'x')));
    EXPECT_TRUE(co_await store.append("shop", std::move(many), {{"/f", 1}}));
  }
  LogQuery query;
  query.ns = "shop";
  query.limit = 100'000;
  const std::vector<LogRecord> found = (co_await store.search(filter(std::move(query)))).value();
  EXPECT_EQ(found.size(), (64u << 20) / 60'000);
  for (std::size_t i = 0; i < found.size(); ++i)
    EXPECT_EQ(found[i].time_us, static_cast<std::int64_t>(1200 - found.size() + i)) << "the newest, and no gap";
}

TEST(LogStore, FindsSoManyBytesAndNoMore) {
  Folder folder;
  async::Runtime runtime;
  runtime.run(searches_much(runtime, folder.path));
}

TEST(LogStore, SearchesAllSegmentsForLinesAlone) {
  Folder folder;
  async::Runtime runtime;
  runtime.run(searches(runtime, folder.path));
}

}  // namespace
}  // namespace mainstay::observe
