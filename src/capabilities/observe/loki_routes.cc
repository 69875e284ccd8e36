#include "capabilities/observe/loki_routes.h"

#include <charconv>
#include <cmath>
#include <set>
#include <span>

#include "base/status.h"
#include "capabilities/observe/scope.h"

namespace mainstay::observe {
namespace {
namespace json = boost::json;
using ContextPtr = std::shared_ptr<api::RequestContext>;

constexpr std::size_t kDefaultLimit = 100, kMaxLimit = 5000;
constexpr std::int64_t kSecond = 1'000'000, kHour = 3600 * kSecond;
constexpr std::size_t kMaxSelectors = 20;
constexpr std::size_t kTailGap = 200;  // lines of one message of a tail

struct Loki {
  platform::Host* host;
  std::shared_ptr<LogStore> store;
  std::shared_ptr<client::Cache> namespaces;
  base::Counter* bytes;
  base::Counter* segments;

  std::int64_t now_us() const {
    return std::chrono::duration_cast<std::chrono::microseconds>(host->clock().now().time_since_epoch()).count();
  }
};
using LokiPtr = std::shared_ptr<Loki>;

bool may_read(const Loki& self, const api::RequestContext& context, const char* subresource, const std::string& ns) {
  const api::Attributes what{"get", "mainstay.dev", "logs", subresource, ns, "", ""};
  return self.host->api().authorizer().authorize(context.user, what).allowed;
}
bool sees_all(const Loki& self, const api::RequestContext& context) {
  return may_read(self, context, "", "") && may_read(self, context, "audit", "");
}

// What the caller may see; throws where that is nothing.
async::Task<std::vector<LogSpace>> spaces_of(LokiPtr self, ContextPtr context) {
  co_await self->namespaces->synced();
  const auto may = [&](const char* subresource, const std::string& ns) {
    return may_read(*self, *context, subresource, ns);
  };
  std::vector<LogSpace> out;
  for (const client::ObjectPtr& object : self->namespaces->list()) {
    const std::string name = base::get_string(*object, "metadata.name");
    LogSpace space{name, base::label(*object, "mainstay.dev/team"), may("", name), may("audit", name)};
    if (space.logs || space.audit) out.push_back(std::move(space));
  }
  // What belongs to no namespace, and what is left of those that are gone, is for who may see everything.
  if (sees_all(*self, *context)) {
    std::set<std::string> known;
    for (const LogSpace& s : out) known.insert(s.ns);
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator(self->store->folder(), ignored)) {
      const std::string name = entry.path().filename();
      if (!known.contains(name)) out.push_back({name, "", true, true});
    }
  }
  if (out.empty())
    throw base::forbidden(
        fmt::format("{} may not read logs of any namespace (group mainstay.dev, verb get): ask a "
                    "team's owner to make you a member",
                    context->user.name));
  co_return out;
}

std::int64_t time_of(const net::Query& q, std::string_view name, std::int64_t fallback) {
  const std::string_view text = q.get(name);
  if (text.empty()) return fallback;
  const auto time = parse_loki_time(text);
  if (!time) throw base::bad_request(fmt::format("{}: {}", name, time.error().message));
  return *time;
}

// start and end, or since; the last hour where nothing is said.
LogSpan span_of(const Loki& self, const net::Query& q) {
  LogSpan span;
  span.to_us = time_of(q, "end", self.now_us());
  std::int64_t back = kHour;
  if (q.has("since")) {
    const auto since = base::parse_duration(q.get("since"));
    if (!since) throw base::bad_request("since: " + since.error().message);
    back = std::chrono::duration_cast<std::chrono::microseconds>(*since).count();
  }
  span.from_us = time_of(q, "start", span.to_us - back);
  if (span.from_us > span.to_us) throw base::bad_request("start: it is later than end");
  return span;
}

std::size_t limit_of(const net::Query& q) {
  const std::string_view text = q.get("limit");
  if (text.empty()) return kDefaultLimit;
  std::size_t limit = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), limit);
  if (error != std::errc() || end != text.data() + text.size() || limit == 0 || limit > kMaxLimit)
    throw base::bad_request(fmt::format("limit: \"{}\" is not a number from 1 to {}", text, kMaxLimit));
  return limit;
}

LogExpression expression_of(const net::Query& q) {
  auto parsed = parse_logql(q.get("query"));
  if (!parsed) throw base::bad_request(parsed.error().message);
  return *std::move(parsed);
}

net::Response success(json::value data) {
  return net::Response::json(200, json::object{{"status", "success"}, {"data", std::move(data)}});
}

json::object object_of(const StreamLabels& labels) {
  json::object out;
  for (const auto& [name, value] : labels) out[name] = value;
  return out;
}

template <class T>
T value_or_throw(base::Result<T> result) {
  if (!result) throw base::from_error(result.error());
  return *std::move(result);
}

json::object streams_json(const FoundLines& found, bool backward) {
  std::vector<json::array> values(found.streams.size());
  const auto add = [&](const FoundLine& line) {
    values[line.stream].push_back(json::array{json::value(fmt::format("{}000", line.time_us)), json::value(line.line)});
  };
  if (backward) {
    std::for_each(found.lines.rbegin(), found.lines.rend(), add);
  } else {
    std::for_each(found.lines.begin(), found.lines.end(), add);
  }
  json::array result;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (values[i].empty()) continue;
    result.push_back(json::object{{"stream", object_of(found.streams[i])}, {"values", std::move(values[i])}});
  }
  return {{"resultType", "streams"},
          {"result", std::move(result)},
          {"stats", {{"summary", {{"totalBytesProcessed", found.bytes}, {"splits", found.segments}}}}}};
}

std::string number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  return fmt::format("{}", value);
}
double seconds(std::int64_t us) { return static_cast<double>(us) / 1e6; }

async::Task<net::Response> answer_lines(LokiPtr self, ContextPtr context, LogSelector selector, LogSpan span) {
  const net::Query& q = context->http->query;
  const bool backward = q.get("direction") != "forward";
  const std::size_t limit = limit_of(q);
  const auto spaces = co_await spaces_of(self, context);
  const std::function<base::Result<FoundLines>()> work = [folder = self->store->folder(), spaces, selector, span, limit,
                                                          backward] {
    return find_lines(folder, spaces, selector, span, limit, backward);
  };
  const FoundLines found = value_or_throw(co_await self->host->runtime().blocking(work));
  self->bytes->add(static_cast<double>(found.bytes));
  self->segments->add(static_cast<double>(found.segments));
  co_return success(streams_json(found, backward));
}

async::Task<std::vector<CountedSeries>> counted(LokiPtr self, ContextPtr context, LogExpression e, CountSteps steps) {
  const auto spaces = co_await spaces_of(self, context);
  const std::function<base::Result<std::vector<CountedSeries>>()> work =
      [folder = self->store->folder(), spaces, e, steps] { return count_lines(folder, spaces, e, steps); };
  co_return value_or_throw(co_await self->host->runtime().blocking(work));
}

async::Task<net::Response> query_range(LokiPtr self, ContextPtr context) {
  const net::Query& q = context->http->query;
  const LogExpression e = expression_of(q);
  const LogSpan span = span_of(*self, q);
  if (!e.metric && !e.constant) co_return co_await answer_lines(self, context, e.selector, span);
  CountSteps steps;
  steps.start_us = span.from_us;
  steps.step_us = std::max((span.to_us - span.from_us) / 250, kSecond);
  if (q.has("step")) steps.step_us = value_or_throw(parse_loki_step(q.get("step")));
  const std::int64_t count = (span.to_us - span.from_us) / steps.step_us + 1;
  if (count > static_cast<std::int64_t>(kMaxSteps))
    throw base::bad_request(fmt::format("step: {} points are more than {}: make it longer", count, kMaxSteps));
  steps.count = static_cast<std::size_t>(count);
  std::vector<CountedSeries> all;
  if (e.constant) {
    all.push_back({{}, std::vector<double>(steps.count, *e.constant)});
  } else {
    all = co_await counted(self, context, e, steps);
  }
  json::array result;
  for (const CountedSeries& s : all) {
    json::array values;
    for (std::size_t i = 0; i < s.values.size(); ++i) {
      if (std::isnan(s.values[i])) continue;
      const double at = seconds(steps.start_us + static_cast<std::int64_t>(i) * steps.step_us);
      values.push_back(json::array{json::value(at), json::value(number(s.values[i]))});
    }
    if (!values.empty()) result.push_back(json::object{{"metric", object_of(s.labels)}, {"values", std::move(values)}});
  }
  co_return success(json::object{{"resultType", "matrix"}, {"result", std::move(result)}, {"stats", json::object{}}});
}

async::Task<net::Response> query(LokiPtr self, ContextPtr context) {
  const net::Query& q = context->http->query;
  const LogExpression e = expression_of(q);
  const std::int64_t at = time_of(q, "time", self->now_us());
  json::array result;
  if (e.constant) {
    result.push_back(json::object{{"metric", json::object{}},
                                  {"value", json::array{json::value(seconds(at)), json::value(number(*e.constant))}}});
    co_return success(json::object{{"resultType", "vector"}, {"result", std::move(result)}, {"stats", json::object{}}});
  }
  if (!e.metric) co_return co_await answer_lines(self, context, e.selector, {at - kHour, at});
  for (const CountedSeries& s : co_await counted(self, context, e, {at, 1, 1})) {
    if (!std::isnan(s.values[0]))
      result.push_back(
          json::object{{"metric", object_of(s.labels)},
                       {"value", json::array{json::value(seconds(at)), json::value(number(s.values[0]))}}});
  }
  co_return success(json::object{{"resultType", "vector"}, {"result", std::move(result)}, {"stats", json::object{}}});
}

async::Task<std::vector<StreamLabels>> streams_in(LokiPtr self, ContextPtr context) {
  const net::Query& q = context->http->query;
  std::vector<std::string> texts = q.all_of("match[]");
  for (const char* name : {"match", "query"}) {
    for (std::string& text : q.all_of(name)) texts.push_back(std::move(text));
  }
  if (texts.size() > kMaxSelectors) throw base::bad_request("match[]: at most 20 selectors");
  std::vector<LogSelector> selectors;
  for (const std::string& text : texts) {
    if (text.empty()) continue;
    LogExpression e = value_or_throw(parse_logql(text));
    if (e.constant) throw base::bad_request("match[]: a selector such as {namespace=\"shop\"}");
    selectors.push_back(std::move(e.selector));
  }
  const LogSpan span = span_of(*self, q);
  const auto spaces = co_await spaces_of(self, context);
  const std::function<base::Result<std::vector<StreamLabels>>()> work = [folder = self->store->folder(), spaces,
                                                                         selectors, span] {
    return find_streams(folder, spaces, selectors, span);
  };
  co_return value_or_throw(co_await self->host->runtime().blocking(work));
}

async::Task<net::Response> series(LokiPtr self, ContextPtr context) {
  json::array out;
  for (const StreamLabels& labels : co_await streams_in(self, context)) out.push_back(object_of(labels));
  co_return success(std::move(out));
}

// What Grafana shows before it asks: how much there is to look at.
async::Task<net::Response> index_stats(LokiPtr self, ContextPtr context) {
  const LogExpression e = expression_of(context->http->query);
  if (e.constant) throw base::bad_request("query: a selector such as {namespace=\"shop\"}");
  const LogSpan span = span_of(*self, context->http->query);
  const auto spaces = co_await spaces_of(self, context);
  const std::function<base::Result<LogStatistics>()> work = [folder = self->store->folder(), spaces,
                                                             selector = e.selector, span] {
    return log_statistics(folder, spaces, selector, span);
  };
  const LogStatistics found = value_or_throw(co_await self->host->runtime().blocking(work));
  co_return net::Response::json(
      200, {{"streams", found.streams}, {"chunks", found.segments}, {"bytes", found.bytes}, {"entries", found.lines}});
}

async::Task<net::Response> label_names(LokiPtr self, ContextPtr context) {
  std::set<std::string> names;
  for (const StreamLabels& labels : co_await streams_in(self, context)) {
    for (const auto& [name, value] : labels) names.insert(name);
  }
  co_return success(json::value_from(names));
}

async::Task<net::Response> label_values(LokiPtr self, ContextPtr context) {
  const std::string name = context->params.at("name");
  std::set<std::string> values;
  for (const StreamLabels& labels : co_await streams_in(self, context)) {
    for (const auto& [label, value] : labels) {
      if (label == name) values.insert(value);
    }
  }
  co_return success(json::value_from(values));
}

struct TailLine {
  StreamLabels labels;
  std::int64_t time_us = 0;
  std::string line;
};

json::object tail_message(std::span<const TailLine> lines, std::size_t missed) {
  json::array streams;
  for (const TailLine& l : lines) {
    json::array values;  // an array in braces within an array's braces would be the array itself
    values.push_back(json::array{json::value(fmt::format("{}000", l.time_us)), json::value(l.line)});
    streams.push_back(json::object{{"stream", object_of(l.labels)}, {"values", std::move(values)}});
  }
  json::object out{{"streams", std::move(streams)}};
  if (missed > 0) out["dropped_entries"] = json::array{json::object{{"count", missed}}};
  return out;
}

// What one reader follows.
struct Tail {
  std::vector<LogSpace> spaces;
  bool all = false;  // whoever may see everything also sees namespaces that are made later
  LogSelector selector;
  std::optional<LogSpan> before;  // what is sent first
  std::size_t limit = kDefaultLimit;
};

// The line as the reader gets it; nullopt where it is not for them.
std::optional<TailLine> tail_line(const Tail& tail, const std::map<std::string, LogSpace>& spaces, std::string ns,
                                  LogRecord record) {
  const auto found = spaces.find(ns);
  const LogSpace space = found != spaces.end() ? found->second : LogSpace{ns, "", tail.all, tail.all};
  if (record.stream == 'a' ? !space.audit : !space.logs) return std::nullopt;
  const RecordView seen{record.time_us, record.stream, record.pod, record.container, record.workload, record.line, {}};
  StreamLabels labels = labels_of(space, seen);
  if (!selects(tail.selector, labels) || !through(tail.selector.stages, record.line, labels)) return std::nullopt;
  return TailLine{std::move(labels), record.time_us, std::move(record.line)};
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
  std::map<std::string, LogSpace> by_name;
  std::set<std::string, std::less<>> names;
  for (const LogSpace& s : tail->spaces) {
    by_name[s.ns] = s;
    names.insert(s.ns);
  }
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
    std::vector<TailLine> fresh;
    while (!feed->lines.empty() && fresh.size() < kTailGap) {
      auto [ns, record] = std::move(feed->lines.front());
      feed->lines.pop_front();
      auto line = tail_line(*tail, by_name, std::move(ns), std::move(record));
      const bool known = doubtful > 0 && line && sent.contains({line->time_us, line->line});
      if (doubtful > 0) --doubtful;
      if (line && !known) fresh.push_back(*std::move(line));
    }
    if (doubtful == 0) sent.clear();
    const std::size_t missed = std::exchange(feed->missed, 0);
    if (!fresh.empty() || missed > 0) co_await send_lines(fresh, missed, socket);
  }
}

async::Task<net::Response> serve_tail(LokiPtr self, ContextPtr context) {
  const net::Query& q = context->http->query;
  LogExpression e = expression_of(q);
  if (e.metric || e.constant) throw base::bad_request("query: only lines can be followed, not counts");
  auto tail = std::make_shared<Tail>();
  tail->selector = std::move(e.selector);
  tail->limit = limit_of(q);
  if (q.has("start")) tail->before = LogSpan{time_of(q, "start", 0), INT64_MAX};
  tail->spaces = co_await spaces_of(self, context);
  tail->all = sees_all(*self, *context);
  net::WebSocketBody body;
  body.serve = [self, tail](net::WebSocket& socket) { return follow_lines(self, tail, socket); };
  co_return net::Response{101, {}, std::move(body)};
}

async::Task<net::Response> build_info(LokiPtr, ContextPtr) {
  co_return net::Response::json(200, {{"version", "2.9.0"}, {"revision", "mainstay"}, {"branch", ""}});
}

}  // namespace

base::Result<std::int64_t> parse_loki_time(std::string_view text) {
  if (text.size() > 40) return base::fail(base::ErrorCode::kInvalid, "not a time");
  if (text.find_first_not_of("0123456789.") == std::string_view::npos) {
    if (text.find('.') == std::string_view::npos && text.size() > 10) {
      std::int64_t ns = 0;
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), ns);
      if (error == std::errc() && end == text.data() + text.size()) return ns / 1000;
    } else {
      const double value = std::strtod(std::string(text).c_str(), nullptr);
      if (value < 1e11) return static_cast<std::int64_t>(value * 1e6);
    }
  } else if (const auto time = base::parse_rfc3339(text)) {
    return std::chrono::duration_cast<std::chrono::microseconds>(time->time_since_epoch()).count();
  }
  return base::fail(base::ErrorCode::kInvalid,
                    fmt::format("\"{}\" is neither RFC 3339, nor seconds, nor nanoseconds since 1970", text));
}

base::Result<std::int64_t> parse_loki_step(std::string_view text) {
  double value = 0;
  if (!text.empty() && text.size() < 20 && text.find_first_not_of("0123456789.") == std::string_view::npos) {
    value = std::strtod(std::string(text).c_str(), nullptr);
  } else if (const auto d = base::parse_duration(text)) {
    value = std::chrono::duration<double>(*d).count();
  }
  if (!(value >= 0.001) || value > 1e8)
    return base::fail(base::ErrorCode::kInvalid,
                      fmt::format("step: \"{}\" is neither seconds nor a duration such as 30s", text));
  return static_cast<std::int64_t>(value * 1e6);
}

void add_loki_routes(platform::Host& host, std::shared_ptr<LogStore> store) {
  auto self = std::make_shared<Loki>(Loki{
      &host, std::move(store), host.caches().of(client::resources::kNamespaces),
      &host.metrics().counter("mainstay_logs_search_bytes_total", "Bytes of kept logs that searches looked at"),
      &host.metrics().counter("mainstay_logs_search_segments_total", "Segments of kept logs that searches opened")});
  const api::Authenticated permission{
      "Each answer is confined to the namespaces in which the caller has get on logs, or logs/audit (group "
      "mainstay.dev)"};
  using Handler = async::Task<net::Response> (*)(LokiPtr, ContextPtr);
  const std::tuple<const char*, const char*, Handler> routes[] = {
      {"query_range", "LogQL over a span of time: lines, or counts", &query_range},
      {"query", "LogQL at one time", &query},
      {"labels", "Names of the streams' labels", &label_names},
      {"label/{name}/values", "Values of a label", &label_values},
      {"series", "Streams that match selectors", &series},
      {"index/stats", "How many streams, bytes and lines a selector finds", &index_stats},
      {"tail", "Lines as they come, over a WebSocket", &serve_tail},
      {"status/buildinfo", "What version of Loki's API this is like", &build_info}};
  for (const auto& [path, summary, handler] : routes) {
    host.api().add_route({"GET", std::string("/loki/api/v1/") + path, permission, summary,
                          [self, handler = handler](ContextPtr c) { return handler(self, std::move(c)); }, nullptr});
  }
}

}  // namespace mainstay::observe
