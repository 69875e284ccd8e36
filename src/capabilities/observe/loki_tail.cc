// Lines as they come, over a WebSocket.
#include <set>
#include <span>

#include "base/status.h"
#include "base/utf8.h"
#include "capabilities/observe/loki_request.h"

namespace mainstay::observe {
namespace {
namespace json = boost::json;

constexpr std::size_t kTailGap = 200;  // lines of one message

struct TailLine {
  StreamLabels labels;
  std::int64_t time_us = 0;
  std::string line;
};

json::object tail_message(std::span<const TailLine> lines, std::size_t missed) {
  json::array streams;
  for (const TailLine& l : lines) {
    json::array values;  // an array in braces within an array's braces would be the array itself
    values.push_back(json::array{json::value(fmt::format("{}000", l.time_us)), json::value(base::utf8_text(l.line))});
    streams.push_back(json::object{{"stream", object_of(l.labels)}, {"values", std::move(values)}});
  }
  json::object out{{"streams", std::move(streams)}};
  if (missed > 0) out["dropped_entries"] = json::array{json::object{{"count", missed}}};
  return out;
}

// What one reader follows.
struct Tail {
  std::vector<LogSpace> spaces;
  std::map<std::string, LogSpace> by_name;  // the same
  bool all = false;                         // whoever may see everything also sees namespaces that are made later
  LogSelector selector;
  std::optional<LogSpan> before;  // what is sent first
  std::size_t limit = 0;          // of those
};

// The line as the reader gets it; nullopt where it is not for them.
std::optional<TailLine> tail_line(const Tail& tail, std::string ns, LogRecord record) {
  const auto found = tail.by_name.find(ns);
  const LogSpace space = found != tail.by_name.end() ? found->second : LogSpace{ns, "", tail.all, tail.all};
  if (record.stream == 'a' ? !space.audit : !space.logs) return std::nullopt;
  const RecordView seen{record.time_us, record.stream, record.pod, record.container, record.workload, record.line, {}};
  const StreamLabels stream = labels_of(space, seen);
  if (!selects(tail.selector, stream)) return std::nullopt;
  PassingLine passing{record.line, record.time_us, stream, {}};
  if (!through(tail.selector.stages, stream, passing)) return std::nullopt;
  return TailLine{std::move(passing.labels), record.time_us, std::string(passing.line)};
}

async::Task<> send_lines(std::span<const TailLine> lines, std::size_t missed, net::WebSocket& socket) {
  do {
    const auto part = lines.first(std::min(lines.size(), kTailGap));
    lines = lines.subspan(part.size());
    co_await socket.write({false, json::serialize(tail_message(part, std::exchange(missed, 0)))});
  } while (!lines.empty());
}

// The newest lines of the span asked for.
async::Task<std::vector<TailLine>> lines_before(LokiPtr self, std::shared_ptr<const Tail> tail) {
  const std::function<base::Result<FoundLines>()> work = [folder = self->store->folder(), tail] {
    return find_lines(folder, tail->spaces, tail->selector, *tail->before, tail->limit, true);
  };
  FoundLines found = value_or_throw(co_await self->host->runtime().blocking(work));
  std::vector<TailLine> out;
  for (FoundLine& l : found.lines) out.push_back({found.streams[l.stream], l.time_us, std::move(l.line)});
  co_return out;
}

// What there was, then lines as they are kept, until the reader goes away. The feed is opened before the search, so
// that no line falls between the two; those that both have are sent once.
async::Task<> follow_lines(LokiPtr self, std::shared_ptr<const Tail> tail, net::WebSocket& socket) {
  std::set<std::string, std::less<>> names;
  for (const LogSpace& s : tail->spaces) names.insert(s.ns);
  const auto feed = self->store->follow(std::move(names), tail->all);
  std::set<std::pair<std::int64_t, std::string>> sent;
  std::size_t doubtful = 0;  // lines at the feed's front that the search may have found
  if (tail->before) {
    const auto lines = co_await lines_before(self, tail);
    doubtful = feed->lines.size();
    if (doubtful > 0) {
      for (const TailLine& l : lines) sent.emplace(l.time_us, l.line);
    }
    co_await send_lines(lines, 0, socket);  // also where there are none, so that the reader knows
  }
  for (;;) {
    while (feed->lines.empty()) co_await feed->changed->wait();
    const auto batch = std::make_shared<std::vector<std::pair<std::string, LogRecord>>>();
    while (!feed->lines.empty() && batch->size() < kTailGap) {
      batch->push_back(feed->take());
    }
    // On the pool: what a query does with a line is its author's to say.
    const std::function<std::vector<std::optional<TailLine>>()> work = [tail, batch] {
      std::vector<std::optional<TailLine>> out;
      for (auto& [ns, record] : *batch) out.push_back(tail_line(*tail, std::move(ns), std::move(record)));
      return out;
    };
    std::vector<TailLine> fresh;
    for (auto& line : co_await self->host->runtime().blocking(work)) {
      const bool known = doubtful > 0 && line && sent.contains({line->time_us, line->line});
      if (doubtful > 0) --doubtful;
      if (line && !known) fresh.push_back(*std::move(line));
    }
    if (doubtful == 0) sent.clear();
    const std::size_t missed = std::exchange(feed->missed, 0);
    if (!fresh.empty() || missed > 0) co_await send_lines(fresh, missed, socket);
  }
}

}  // namespace

async::Task<net::Response> loki_tail(LokiPtr self, LokiRequest request) {
  LogExpression e = expression_of(request.query);
  if (!e.lines()) throw base::bad_request("query: only lines can be followed, not counts");
  auto tail = std::make_shared<Tail>();
  tail->selector = std::move(e.selector);
  tail->limit = limit_of(request.query);
  if (request.query.has("start")) tail->before = LogSpan{time_of(request.query, "start", 0), INT64_MAX};
  tail->spaces = co_await spaces_of(self, request.context);
  for (const LogSpace& s : tail->spaces) tail->by_name[s.ns] = s;
  tail->all = sees_all(*self, *request.context);
  net::WebSocketBody body;
  body.serve = [self, tail](net::WebSocket& socket) { return follow_lines(self, tail, socket); };
  co_return net::Response{101, {}, std::move(body)};
}

}  // namespace mainstay::observe
