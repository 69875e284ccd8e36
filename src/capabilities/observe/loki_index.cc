// Which streams there are, and how much of what.
#include <algorithm>
#include <set>

#include "base/status.h"
#include "base/strings.h"
#include "capabilities/observe/loki_request.h"

namespace mainstay::observe {
namespace {
namespace json = boost::json;

constexpr std::size_t kMaxSelectors = 20;

async::Task<std::vector<StreamLabels>> streams_in(LokiPtr self, LokiRequest request) {
  std::vector<std::string> texts = request.query.all_of("match[]");
  for (const char* name : {"match", "query"}) {
    for (std::string& text : request.query.all_of(name)) texts.push_back(std::move(text));
  }
  if (texts.size() > kMaxSelectors) throw base::bad_request("match[]: at most 20 selectors");
  std::vector<LogSelector> selectors;
  for (const std::string& text : texts) {
    if (!text.empty()) selectors.push_back(selector_of(text, "match[]"));
  }
  const LogSpan span = span_of(*self, request.query);
  const auto spaces = co_await spaces_of(self, request.context);
  const std::function<base::Result<std::vector<StreamLabels>>()> work = [folder = self->store->folder(), spaces,
                                                                         selectors, span] {
    return find_streams(folder, spaces, selectors, span);
  };
  co_return value_or_throw(co_await self->host->runtime().blocking(work));
}

// Bytes by label: by `targetLabels`, else by the labels that the selector names.
LogExpression volume_of(const net::Query& q, LogSelector selector, std::int64_t range_us) {
  LogExpression sum, bytes;
  sum.kind = LogExpression::Kind::kAggregate;
  sum.grouping.given = true;
  for (const std::string_view label : base::split(q.get("targetLabels"), ',')) {
    if (const auto name = base::trim(label); !name.empty()) sum.grouping.labels.emplace_back(name);
  }
  if (sum.grouping.labels.empty()) {
    for (const LabelMatcher& m : selector.matchers) sum.grouping.labels.push_back(m.name);
  }
  bytes.kind = LogExpression::Kind::kRange;
  bytes.function = RangeFunction::kBytes;
  // A span may be longer than nanoseconds can count.
  bytes.range = std::min(std::chrono::microseconds(range_us),
                         std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::nanoseconds::max()));
  bytes.selector = std::move(selector);
  sum.parts.push_back(std::move(bytes));
  return sum;
}

// The greatest come first, and there are `limit` of them.
void keep_greatest(std::vector<LogSeries>& series, std::size_t limit) {
  const auto total = [](const LogSeries& s) {
    double sum = 0;
    for (const double v : s.values) sum += v > 0 ? v : 0;
    return sum;
  };
  std::sort(series.begin(), series.end(), [&](const LogSeries& a, const LogSeries& b) {
    const double left = total(a), right = total(b);
    return left != right ? left > right : a.labels < b.labels;
  });
  if (series.size() > limit) series.resize(limit);
}

}  // namespace

async::Task<net::Response> loki_series(LokiPtr self, LokiRequest request) {
  json::array out;
  for (const StreamLabels& labels : co_await streams_in(self, std::move(request))) out.push_back(object_of(labels));
  co_return loki_success(std::move(out));
}

async::Task<net::Response> loki_label_names(LokiPtr self, LokiRequest request) {
  std::set<std::string> names;
  for (const StreamLabels& labels : co_await streams_in(self, std::move(request))) {
    for (const auto& [name, value] : labels) names.insert(name);
  }
  co_return loki_success(json::value_from(names));
}

async::Task<net::Response> loki_label_values(LokiPtr self, LokiRequest request) {
  const std::string name = request.context->params.at("name");
  std::set<std::string> values;
  for (const StreamLabels& labels : co_await streams_in(self, std::move(request))) {
    for (const auto& [label, value] : labels) {
      if (label == name) values.insert(value);
    }
  }
  co_return loki_success(json::value_from(values));
}

// What Grafana shows before it asks: how much there is to look at.
async::Task<net::Response> loki_stats(LokiPtr self, LokiRequest request) {
  const LogSelector selector = selector_of(request.query.get("query"), "query");
  const LogSpan span = span_of(*self, request.query);
  const auto spaces = co_await spaces_of(self, request.context);
  const std::function<base::Result<LogStatistics>()> work = [folder = self->store->folder(), spaces, selector, span] {
    return log_statistics(folder, spaces, selector, span);
  };
  const LogStatistics found = value_or_throw(co_await self->host->runtime().blocking(work));
  co_return net::Response::json(
      200, {{"streams", found.streams}, {"chunks", found.segments}, {"bytes", found.bytes}, {"entries", found.lines}});
}

async::Task<net::Response> loki_volume(LokiPtr self, LokiRequest request) {
  const LogSpan span = span_of(*self, request.query);
  const std::size_t limit = limit_of(request.query);
  LogExpression volume =
      volume_of(request.query, selector_of(request.query.get("query"), "query"), span.to_us - span.from_us + 1);
  const FormNumbers form = [limit, at = span.to_us](LogNumbers found) -> json::value {
    keep_greatest(found.series, limit);
    return vector_of(found.series, at);
  };
  co_return co_await answer_numbers(self, request.context, std::move(volume), {span.to_us, 1, 1}, form);
}

async::Task<net::Response> loki_volume_range(LokiPtr self, LokiRequest request) {
  const LogSpan span = span_of(*self, request.query);
  const std::size_t limit = limit_of(request.query);
  const LogSteps steps = steps_of(request.query, span);
  LogExpression volume = volume_of(request.query, selector_of(request.query.get("query"), "query"), steps.step_us);
  const FormNumbers form = [limit, steps](LogNumbers found) -> json::value {
    keep_greatest(found.series, limit);
    return matrix_of(found.series, steps);
  };
  co_return co_await answer_numbers(self, request.context, std::move(volume), steps, form);
}

}  // namespace mainstay::observe
