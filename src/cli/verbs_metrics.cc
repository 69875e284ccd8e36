// metrics and alerts: a PromQL query and what fires, of the namespaces the caller may see.
#include "base/clock.h"
#include "base/encoding.h"
#include "cli/output.h"
#include "cli/verbs.h"

namespace mainstay::cli {
namespace {

struct MetricsOptions {
  std::string query, output;
};
struct AlertsOptions {
  std::string team, output;
};

async::Task<json::value> ask(Session& session, std::string target) {
  net::ClientRequest request;
  request.target = std::move(target);
  net::ClientResponse response = co_await session.client().raw(std::move(request));
  const std::string body = co_await response.body->read_all(64u << 20);
  auto parsed = base::parse_json(body);
  if (response.status == 200 && parsed) co_return *std::move(parsed);
  // The query API has errors of its own form.
  if (parsed && !base::get_string(*parsed, "error").empty())
    throw Failure{response.status == 503 ? kUnreachable : kFailed, base::get_string(*parsed, "error")};
  throw base::StatusError::from_json(response.status, parsed ? *parsed : json::value(body));
}

std::string series_text(const json::value& metric) {
  std::string out = base::get_string(metric, "__name__"), labels;
  if (!metric.is_object()) return out;
  for (const auto& [name, value] : metric.as_object()) {
    if (name == "__name__" || !value.is_string()) continue;
    labels += fmt::format("{}{}=\"{}\"", labels.empty() ? "" : ",", std::string_view(name),
                          std::string_view(value.as_string()));
  }
  return labels.empty() ? out : out + "{" + labels + "}";
}

async::Task<int> metrics(Session& session, const MetricsOptions& o) {
  const json::value answer = co_await ask(session, "/prometheus/api/v1/query?query=" + base::percent_encode(o.query));
  if (!o.output.empty()) {
    print(format_object(answer, o.output));
    co_return kDone;
  }
  std::vector<std::vector<std::string>> rows;
  for (const auto& sample : base::get_array(answer, "data.result")) {
    const json::array& value = base::get_array(sample, "value");
    const json::value* metric = base::find(sample, "metric");
    if (value.size() == 2 && value[1].is_string() && metric)
      rows.push_back({series_text(*metric), std::string(value[1].as_string())});
  }
  if (rows.empty()) {
    print("No series. Names of metrics: mainstay metrics 'count by (__name__) ({__name__!=\"\"})'\n");
    co_return kDone;
  }
  print(format_table({"SERIES", "VALUE"}, rows));
  co_return kDone;
}

async::Task<int> alerts(Session& session, const AlertsOptions& o) {
  json::value answer = co_await ask(session, "/prometheus/api/v1/alerts");
  json::array kept;
  for (const auto& alert : base::get_array(answer, "data.alerts")) {
    if (o.team.empty() || base::get_string(alert, "labels.team") == o.team) kept.push_back(alert);
  }
  if (!o.output.empty()) {
    print(format_object(json::object{{"alerts", std::move(kept)}}, o.output));
    co_return kDone;
  }
  std::vector<std::vector<std::string>> rows;
  for (const auto& alert : kept) {
    const std::string ns = base::get_string(alert, "labels.namespace");
    rows.push_back({base::get_string(alert, "name", base::get_string(alert, "labels.alertname")),
                    base::get_string(alert, "state"), base::get_string(alert, "labels.severity", "-"),
                    ns.empty() ? "-" : ns, age(base::get_string(alert, "activeAt")),
                    base::get_string(alert, "annotations.summary")});
  }
  if (rows.empty()) {
    print("No alert fires.\n");
    co_return kDone;
  }
  print(format_table({"ALERT", "STATE", "SEVERITY", "NAMESPACE", "SINCE", "SUMMARY"}, rows));
  co_return kDone;
}

}  // namespace

void add_metrics_verbs(Command app, Context& context) {
  auto m = std::make_shared<MetricsOptions>();
  Command query = app.add_subcommand("metrics", "A PromQL query over the metrics you may see");
  query.option("query", m->query, "PromQL, such as: sum by (pod) (rate(container_cpu_usage_seconds_total[5m]))")
      .required();
  query.option("-o,--output", m->output, "json or yaml").one_of({"json", "yaml"});
  query.callback([&context, m] { context.choose(&metrics, m); });
  auto a = std::make_shared<AlertsOptions>();
  Command firing = app.add_subcommand("alerts", "Alerts that fire or are about to, of the namespaces you may see");
  firing.option("--team", a->team, "Of one team");
  firing.option("-o,--output", a->output, "json or yaml").one_of({"json", "yaml"});
  firing.callback([&context, a] { context.choose(&alerts, a); });
}

}  // namespace mainstay::cli
