#include "capabilities/observe/loki_routes.h"

#include "base/status.h"
#include "base/strings.h"
#include "base/utf8.h"
#include "capabilities/observe/loki_request.h"
#include "capabilities/observe/request_form.h"

namespace mainstay::observe {
namespace {
namespace json = boost::json;
using ContextPtr = std::shared_ptr<api::RequestContext>;

constexpr std::int64_t kHour = 3600LL * 1'000'000;

json::object streams_json(const FoundLines& found, bool backward) {
  std::vector<json::array> values(found.streams.size());
  const auto add = [&](const FoundLine& line) {
    values[line.stream].push_back(
        json::array{json::value(fmt::format("{}000", line.time_us)), json::value(base::utf8_text(line.line))});
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

async::Task<net::Response> answer_lines(LokiPtr self, LokiRequest request, LogSelector selector, LogSpan span) {
  const std::string direction = base::lower(request.query.get("direction"));
  if (!direction.empty() && direction != "forward" && direction != "backward")
    throw base::bad_request(fmt::format("direction: \"{}\" is neither forward nor backward", direction));
  const bool backward = direction != "forward";
  const std::size_t limit = limit_of(request.query);
  const auto spaces = co_await spaces_of(self, request.context);
  struct Answer {
    net::Response response;
    std::uint64_t bytes;
    std::size_t segments;
  };
  // Megabytes of lines are not made JSON of on the loop.
  const std::function<Answer()> work = [folder = self->store->folder(), spaces, selector, span, limit, backward] {
    const FoundLines found = value_or_throw(find_lines(folder, spaces, selector, span, limit, backward));
    return Answer{loki_success(streams_json(found, backward)), found.bytes, found.segments};
  };
  Answer answer = co_await self->host->runtime().blocking(work);
  self->bytes->add(static_cast<double>(answer.bytes));
  self->segments->add(static_cast<double>(answer.segments));
  co_return std::move(answer.response);
}

async::Task<net::Response> query_range(LokiPtr self, LokiRequest request) {
  LogExpression e = expression_of(request.query);
  const LogSpan span = span_of(*self, request.query);
  if (e.lines()) co_return co_await answer_lines(self, std::move(request), std::move(e.selector), span);
  const LogSteps steps = steps_of(request.query, span);
  const FormNumbers form = [steps](LogNumbers found) -> json::value { return matrix_of(found.series, steps); };
  co_return co_await answer_numbers(self, request.context, std::move(e), steps, form);
}

async::Task<net::Response> query(LokiPtr self, LokiRequest request) {
  LogExpression e = expression_of(request.query);
  const std::int64_t at = time_of(request.query, "time", self->now_us());
  if (e.lines()) {
    LogSpan span{at - kHour, at};
    co_return co_await answer_lines(self, std::move(request), std::move(e.selector), span);
  }
  const FormNumbers form = [at](LogNumbers found) -> json::value {
    if (!found.scalar) return vector_of(found.series, at);
    return json::object{
        {"resultType", "scalar"}, {"result", point_of(at, found.series[0].values[0])}, {"stats", json::object{}}};
  };
  co_return co_await answer_numbers(self, request.context, std::move(e), {at, 1, 1}, form);
}

async::Task<net::Response> build_info(LokiPtr, LokiRequest) {
  co_return net::Response::json(200, {{"version", "2.9.0"}, {"revision", "mainstay"}, {"branch", ""}});
}

// What newer Grafanas ask besides: they go on without it.
async::Task<net::Response> not_kept(LokiPtr, LokiRequest request) {
  throw base::StatusError(404, "NotFound",
                          fmt::format("{} is not served: parse lines in the query, as {{…}} | json or | logfmt",
                                      request.context->http->path));
  co_return net::Response::empty(404);
}

async::Task<net::Response> serve(LokiPtr self, ContextPtr context, LokiHandler handler) {
  LokiRequest request{context, co_await parameters_of(context)};
  co_return co_await handler(self, std::move(request));
}

}  // namespace

void add_loki_routes(platform::Host& host, std::shared_ptr<LogStore> store) {
  auto self = std::make_shared<Loki>(Loki{
      &host, std::move(store), host.caches().of(client::resources::kNamespaces),
      &host.metrics().counter("mainstay_logs_search_bytes_total", "Bytes of kept logs that searches looked at"),
      &host.metrics().counter("mainstay_logs_search_segments_total", "Segments of kept logs that searches opened")});
  const api::Authenticated permission{
      "Each answer is confined to the namespaces in which the caller has get on logs, or logs/audit (group "
      "mainstay.dev)"};
  struct Route {
    const char *path, *summary;
    LokiHandler handler;
    bool forms = true;  // by POST too
  };
  const Route routes[] = {{"query_range", "LogQL over a span of time: lines, or numbers", &query_range},
                          {"query", "LogQL at one time", &query},
                          {"labels", "Names of the streams' labels", &loki_label_names},
                          {"label/{name}/values", "Values of a label", &loki_label_values},
                          {"series", "Streams that match selectors", &loki_series},
                          {"index/stats", "How many streams, bytes and lines a selector finds", &loki_stats},
                          {"index/volume", "Bytes by label", &loki_volume},
                          {"index/volume_range", "Bytes by label over a span of time", &loki_volume_range},
                          {"tail", "Lines as they come, over a WebSocket", &loki_tail, false},
                          {"status/buildinfo", "What version of Loki's API this is like", &build_info, false},
                          {"detected_fields", "Not served", &not_kept},
                          {"detected_labels", "Not served", &not_kept},
                          {"patterns", "Not served", &not_kept}};
  for (const Route& route : routes) {
    for (const char* method : {"GET", "POST"}) {
      if (!route.forms && std::string_view(method) == "POST") continue;
      host.api().add_route(
          {.method = method,
           .pattern = std::string("/loki/api/v1/") + route.path,
           .permission = permission,
           .summary = route.summary,
           .handler = [self, handler = route.handler](ContextPtr c) { return serve(self, std::move(c), handler); },
           .reads_only = true});
    }
  }
}

}  // namespace mainstay::observe
