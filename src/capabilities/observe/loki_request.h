// What the routes of Loki's API have in common: whose logs they are asked for, of what time, and the form of answers.
#pragma once
#include <memory>
#include <string_view>
#include <vector>

#include "capabilities/observe/log_metrics.h"
#include "capabilities/observe/log_query.h"
#include "capabilities/observe/log_store.h"
#include "platform/host.h"

namespace mainstay::observe {

struct Loki {
  platform::Host* host;
  std::shared_ptr<LogStore> store;
  std::shared_ptr<client::Cache> namespaces;
  base::Counter* bytes;
  base::Counter* segments;

  std::int64_t now_us() const;
};
using LokiPtr = std::shared_ptr<Loki>;

// One request: the parameters are those of a POST's form too.
struct LokiRequest {
  std::shared_ptr<api::RequestContext> context;
  net::Query query;
};
using LokiHandler = async::Task<net::Response> (*)(LokiPtr, LokiRequest);

// Whether the caller may read everything, also of namespaces that are made later.
bool sees_all(const Loki& self, const api::RequestContext& context);
// What the caller may see; throws where that is nothing.
async::Task<std::vector<LogSpace>> spaces_of(LokiPtr self, std::shared_ptr<api::RequestContext> context);
// All below throw StatusError 400, which names the parameter.
std::int64_t time_of(const net::Query& q, std::string_view name, std::int64_t fallback);
LogSpan span_of(const Loki& self, const net::Query& q);  // start and end, or since; the last hour where nothing is said
std::size_t limit_of(const net::Query& q);
LogExpression expression_of(const net::Query& q);
LogSteps steps_of(const net::Query& q, LogSpan span);
LogSelector selector_of(std::string_view text, std::string_view parameter);

net::Response loki_success(boost::json::value data);
boost::json::object object_of(const StreamLabels& labels);
boost::json::object matrix_of(const std::vector<LogSeries>& series, LogSteps steps);
boost::json::object vector_of(const std::vector<LogSeries>& series, std::int64_t at_us);
boost::json::array point_of(std::int64_t at_us, double value);

// The answer that `form` makes of an expression's numbers, both on the pool: there may be millions.
using FormNumbers = std::function<boost::json::value(LogNumbers)>;
async::Task<net::Response> answer_numbers(LokiPtr self, std::shared_ptr<api::RequestContext> context,
                                          LogExpression expression, LogSteps steps, FormNumbers form);

// A time as Loki's clients give it: RFC 3339, seconds with a fraction, or nanoseconds since 1970. Microseconds.
base::Result<std::int64_t> parse_loki_time(std::string_view text);
// A step: seconds, or a duration such as 30s. Microseconds.
base::Result<std::int64_t> parse_loki_step(std::string_view text);

template <class T>
T value_or_throw(base::Result<T> result) {
  if (!result) throw base::from_error(result.error());
  return *std::move(result);
}

// labels, series, and how much there is of what: loki_index.cc.
async::Task<net::Response> loki_series(LokiPtr self, LokiRequest request);
async::Task<net::Response> loki_label_names(LokiPtr self, LokiRequest request);
async::Task<net::Response> loki_label_values(LokiPtr self, LokiRequest request);
async::Task<net::Response> loki_stats(LokiPtr self, LokiRequest request);
async::Task<net::Response> loki_volume(LokiPtr self, LokiRequest request);
async::Task<net::Response> loki_volume_range(LokiPtr self, LokiRequest request);
// Lines as they come: loki_tail.cc.
async::Task<net::Response> loki_tail(LokiPtr self, LokiRequest request);

}  // namespace mainstay::observe
