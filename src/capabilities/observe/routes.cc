#include "capabilities/observe/routes.h"

#include <set>
#include <tuple>

#include "base/status.h"
#include "capabilities/observe/scope.h"

namespace mainstay::observe {
namespace {
using ContextPtr = std::shared_ptr<api::RequestContext>;

constexpr std::size_t kMaxLimit = 100'000;
constexpr std::size_t kTogether = 1000;  // lines of one write

std::int64_t time_param(const net::Query& query, std::string_view name, std::int64_t fallback) {
  const std::string_view text = query.get(name);
  if (text.empty()) return fallback;
  const auto time = base::parse_rfc3339(text);
  if (!time)
    throw base::bad_request(fmt::format("{}: \"{}\" is not an RFC 3339 time such as 2026-01-31T12:00:00Z", name, text));
  return std::chrono::duration_cast<std::chrono::microseconds>(time->time_since_epoch()).count();
}

// `oldest_us`: what is older is not the caller's to see.
std::shared_ptr<const LogFilter> filter_of(const api::RequestContext& context, std::int64_t oldest_us) {
  const net::Query& q = context.http->query;
  LogQuery query;
  query.ns = context.params.at("namespace");
  query.pod = q.get("pod");
  // A job's pod is named after its run.
  if (q.has("run")) query.pod_prefix = std::string(q.get("run")) + "-";
  query.container = q.get("container");
  query.workload = q.get("workload");
  query.grep = q.get("grep");
  if (q.has("source")) query.source = q.get("source");
  if (query.source != "container" && query.source != "events" && query.source != "edge" && query.source != "audit")
    throw base::bad_request(fmt::format("source: \"{}\" is none of container, events, edge and audit", query.source));
  query.from_us = std::max(time_param(q, "since", 0), oldest_us);
  query.to_us = time_param(q, "until", INT64_MAX);
  if (const std::string_view limit = q.get("limit"); !limit.empty()) {
    const auto [end, error] = std::from_chars(limit.data(), limit.data() + limit.size(), query.limit);
    if (error != std::errc() || end != limit.data() + limit.size() || query.limit == 0 || query.limit > kMaxLimit)
      throw base::bad_request(fmt::format("limit: \"{}\" is not a number from 1 to {}", limit, kMaxLimit));
  }
  auto filter = LogFilter::compile(std::move(query));
  if (!filter) throw base::bad_request(filter.error().message);
  return *filter;
}

using Records = std::vector<LogRecord>;

std::string lines_of(const Records& records) {
  std::string out;
  for (const LogRecord& r : records) out += boost::json::serialize(to_json(r)) + "\n";
  return out;
}

// Writes what is there, then what comes, until the reader goes away. The feed is opened before the search, so that no
// line falls between the two; those that both have are written once.
async::Task<> stream_lines(std::shared_ptr<LogStore> store, std::shared_ptr<const LogFilter> filter,
                           net::BodyWriter& out) {
  const std::shared_ptr<LogFeed> feed = store->follow({filter->query().ns});
  auto found = co_await store->search(filter);
  if (!found) throw base::from_error(found.error());
  std::size_t doubtful = feed->lines.size();  // at the feed's front: the search may have found them
  std::set<std::tuple<std::int64_t, std::string, std::string>> written;
  if (doubtful > 0) {
    for (const LogRecord& r : *found) written.emplace(r.time_us, r.pod, r.line);
  }
  const std::int64_t last = found->empty() ? 0 : found->back().time_us;
  if (!found->empty()) co_await out.write(lines_of(*found));
  for (;;) {
    while (feed->lines.empty()) co_await feed->changed->wait();
    std::vector<LogRecord> fresh;
    while (!feed->lines.empty() && fresh.size() < kTogether) {
      LogRecord r = feed->take().second;
      const bool known = doubtful > 0 && written.contains({r.time_us, r.pod, r.line});
      if (doubtful > 0 && --doubtful == 0) written.clear();
      if (!known && filter->matches(r)) fresh.push_back(std::move(r));
    }
    if (feed->missed > 0) {
      LogRecord note;
      note.time_us = fresh.empty() ? last : fresh.front().time_us;
      note.line = fmt::format("[{} lines left out: the reader was too slow]", std::exchange(feed->missed, 0));
      fresh.insert(fresh.begin(), std::move(note));
    }
    if (!fresh.empty()) co_await out.write(lines_of(fresh));
  }
}

// Lines from before the namespace was made are of one that had its name before, perhaps another team's: only who may
// read all logs reads them.
std::int64_t oldest_of(platform::Host& host, const client::Cache& namespaces, const api::RequestContext& context) {
  if (host.api().authorizer().authorize(context.user, {"get", "mainstay.dev", "logs", "", "", "", ""}).allowed)
    return 0;
  const client::ObjectPtr ns = namespaces.get("", context.params.at("namespace"));
  const auto now = std::chrono::duration_cast<std::chrono::microseconds>(host.clock().now().time_since_epoch());
  return ns ? made_us(*ns) : now.count();
}

async::Task<net::Response> logs(platform::Host* host, std::shared_ptr<client::Cache> namespaces,
                                std::shared_ptr<LogStore> store, ContextPtr context) {
  co_await namespaces->synced();
  const auto filter = filter_of(*context, oldest_of(*host, *namespaces, *context));
  net::Response response;
  response.headers.set("Content-Type", "application/x-ndjson");
  if (context->http->query.get("follow") == "true") {
    response.body = net::StreamBody{[store, filter](net::BodyWriter& out) { return stream_lines(store, filter, out); },
                                    std::nullopt};
    co_return response;
  }
  auto found = co_await store->search(filter);
  if (!found) throw base::from_error(found.error());
  // Megabytes of them are not made JSON of on the loop.
  const std::function<std::string()> form = [records = std::make_shared<const Records>(*std::move(found))] {
    return lines_of(*records);
  };
  response.body = co_await host->runtime().blocking(form);
  co_return response;
}

}  // namespace

void add_routes(platform::Host& host, std::shared_ptr<LogStore> store) {
  host.api().add_route(
      {"GET", "/apis/mainstay.dev/v1/namespaces/{namespace}/logs", api::Require([](const api::RequestContext& c) {
         const bool audit = c.http->query.get("source") == "audit";
         return api::Attributes{"get", "mainstay.dev", "logs", audit ? "audit" : "", c.params.at("namespace"), "", ""};
       }),
       "Search the kept output of a namespace's containers, or source events, edge or audit: pod, "
       "container, workload, run, since, until, grep, limit, follow, source",
       [self = &host, namespaces = host.caches().of(client::resources::kNamespaces), store](ContextPtr c) {
         return logs(self, namespaces, store, std::move(c));
       },
       nullptr});
  base::Metrics& metrics = host.metrics();
  host.api().add_route({"GET", "/metrics", api::Require([](const api::RequestContext&) {
                          api::Attributes what;
                          what.verb = "get";
                          what.path = "/metrics";
                          return what;
                        }),
                        "Mainstay's own metrics, in the Prometheus text format",
                        [&metrics](ContextPtr) -> async::Task<net::Response> {
                          net::Response response = net::Response::text(200, metrics.scrape());
                          response.headers.set("Content-Type", "text/plain; version=0.0.4; charset=utf-8");
                          co_return response;
                        },
                        nullptr});
}

}  // namespace mainstay::observe
