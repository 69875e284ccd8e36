#include "capabilities/observe/loki_request.h"

#include <charconv>
#include <cmath>
#include <set>

#include "base/status.h"
#include "base/utf8.h"
#include "capabilities/observe/scope.h"

namespace mainstay::observe {
namespace {
namespace json = boost::json;

constexpr std::size_t kDefaultLimit = 100, kMaxLimit = 5000;
constexpr std::int64_t kSecond = 1'000'000, kHour = 3600 * kSecond;
constexpr double kLastSecond = 9.2e9;  // of the year 2261: nanoseconds end with it

bool may_read(const Loki& self, const api::RequestContext& context, const char* subresource, const std::string& ns) {
  const api::Attributes what{"get", "mainstay.dev", "logs", subresource, ns, "", ""};
  return self.host->api().authorizer().authorize(context.user, what).allowed;
}

std::string number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  return fmt::format("{}", value);
}

}  // namespace

std::int64_t Loki::now_us() const {
  return std::chrono::duration_cast<std::chrono::microseconds>(host->clock().now().time_since_epoch()).count();
}

bool sees_all(const Loki& self, const api::RequestContext& context) {
  return may_read(self, context, "", "") && may_read(self, context, "audit", "");
}

async::Task<std::vector<LogSpace>> spaces_of(LokiPtr self, std::shared_ptr<api::RequestContext> context) {
  co_await self->namespaces->synced();
  const auto may = [&](const char* subresource, const std::string& ns) {
    return may_read(*self, *context, subresource, ns);
  };
  const bool all = sees_all(*self, *context);
  std::vector<LogSpace> out;
  for (const client::ObjectPtr& object : self->namespaces->list()) {
    const std::string name = base::get_string(*object, "metadata.name");
    LogSpace space{name, base::label(*object, "mainstay.dev/team"), may("", name), may("audit", name),
                   all ? 0 : made_us(*object)};
    if (space.logs || space.audit) out.push_back(std::move(space));
  }
  // What belongs to no namespace, and what is left of those that are gone, is for who may see everything.
  if (all) {
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

LogSteps steps_of(const net::Query& q, LogSpan span) {
  LogSteps steps;
  steps.start_us = span.from_us;
  steps.step_us = std::max((span.to_us - span.from_us) / 250, kSecond);
  if (q.has("step")) steps.step_us = value_or_throw(parse_loki_step(q.get("step")));
  const std::int64_t count = (span.to_us - span.from_us) / steps.step_us + 1;
  if (count > static_cast<std::int64_t>(kMaxSteps))
    throw base::bad_request(fmt::format("step: {} points are more than {}: make it longer", count, kMaxSteps));
  steps.count = static_cast<std::size_t>(count);
  return steps;
}

LogSelector selector_of(std::string_view text, std::string_view parameter) {
  LogExpression e = value_or_throw(parse_logql(text));
  const auto found = selectors_of(e);
  if (found.size() != 1)
    throw base::bad_request(fmt::format("{}: a selector such as {{namespace=\"shop\"}}", parameter));
  return *found.front();
}

net::Response loki_success(json::value data) {
  return net::Response::json(200, json::object{{"status", "success"}, {"data", std::move(data)}});
}

json::object object_of(const StreamLabels& labels) {
  json::object out;
  for (const auto& [name, value] : labels) out[name] = base::utf8_text(value);
  return out;
}

json::array point_of(std::int64_t at_us, double value) {
  return {json::value(static_cast<double>(at_us) / 1e6), json::value(number(value))};
}

json::object matrix_of(const std::vector<LogSeries>& series, LogSteps steps) {
  json::array result;
  for (const LogSeries& s : series) {
    json::array values;
    for (std::size_t i = 0; i < s.values.size(); ++i) {
      if (!std::isnan(s.values[i]))
        values.push_back(point_of(steps.start_us + static_cast<std::int64_t>(i) * steps.step_us, s.values[i]));
    }
    if (!values.empty()) result.push_back(json::object{{"metric", object_of(s.labels)}, {"values", std::move(values)}});
  }
  return {{"resultType", "matrix"}, {"result", std::move(result)}, {"stats", json::object{}}};
}

json::object vector_of(const std::vector<LogSeries>& series, std::int64_t at_us) {
  json::array result;
  for (const LogSeries& s : series) {
    if (!std::isnan(s.values[0]))
      result.push_back(json::object{{"metric", object_of(s.labels)}, {"value", point_of(at_us, s.values[0])}});
  }
  return {{"resultType", "vector"}, {"result", std::move(result)}, {"stats", json::object{}}};
}

async::Task<net::Response> answer_numbers(LokiPtr self, std::shared_ptr<api::RequestContext> context,
                                          LogExpression expression, LogSteps steps, FormNumbers form) {
  LogSource source{self->store->folder(), co_await spaces_of(self, context)};
  const std::function<net::Response()> work = [source, expression, steps, form] {
    return loki_success(form(value_or_throw(evaluate(source, expression, steps))));
  };
  co_return co_await self->host->runtime().blocking(work);
}

base::Result<std::int64_t> parse_loki_time(std::string_view text) {
  if (text.size() > 40) return base::fail(base::ErrorCode::kInvalid, "not a time");
  if (text.find_first_not_of("0123456789.") == std::string_view::npos) {
    if (text.find('.') == std::string_view::npos && text.size() > 10) {
      std::int64_t ns = 0;
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), ns);
      if (error == std::errc() && end == text.data() + text.size()) return ns / 1000;
    } else {
      const double value = std::strtod(std::string(text).c_str(), nullptr);
      if (value < kLastSecond) return static_cast<std::int64_t>(value * 1e6);
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

}  // namespace mainstay::observe
