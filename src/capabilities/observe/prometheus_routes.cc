#include "capabilities/observe/prometheus_routes.h"

#include "base/encoding.h"
#include "base/status.h"

namespace mainstay::observe {
namespace {
using ContextPtr = std::shared_ptr<api::RequestContext>;
using Parameters = std::vector<std::pair<std::string, std::string>>;

constexpr std::size_t kMaxForm = 256 * 1024;
constexpr std::string_view kPassedOn[] = {"query",   "time",  "start",   "end",     "step",
                                          "match[]", "limit", "timeout", "nocache", "metric"};

// Of the query string and, of a POST, the form: Grafana sends long queries so.
async::Task<Parameters> parameters_of(ContextPtr context) {
  Parameters out = context->http->query.all();
  if (context->http->method != "POST") co_return out;
  const std::string_view type = context->http->headers.get("Content-Type");
  if (!type.starts_with("application/x-www-form-urlencoded"))
    throw base::unsupported_media_type("a POST of a query must be application/x-www-form-urlencoded");
  const auto form = net::Query::parse(co_await context->http->body->read_all(kMaxForm));
  if (!form) throw base::bad_request("the form: " + form.error().message);
  out.insert(out.end(), form->all().begin(), form->all().end());
  co_return out;
}

// The engine's errors in the API's own form.
net::Response failure(int status, std::string_view type, const std::string& message) {
  return net::Response::json(status, {{"status", "error"}, {"errorType", type}, {"error", message}});
}

async::Task<> copy(std::shared_ptr<net::BodyReader> from, net::BodyWriter& to) {
  std::vector<char> buffer(64 * 1024);
  while (const std::size_t n = co_await from->read(buffer)) co_await to.write(std::string_view(buffer.data(), n));
}

struct Prometheus {
  platform::Host* host;
  std::shared_ptr<MetricsEngine> engine;
  std::shared_ptr<client::Cache> namespaces;

  static async::Task<net::Response> ask(std::shared_ptr<Prometheus> self, ContextPtr context, std::string path) {
    co_await self->namespaces->synced();
    const Scope scope = scope_of(self->host->api().authorizer(), context->user, *self->namespaces, "metrics");
    net::ClientRequest request;
    request.method = "POST";
    request.target = "/api/v1/" + path;
    request.headers.set("Content-Type", "application/x-www-form-urlencoded");
    request.body = confined_form(co_await parameters_of(context), series_filter(scope));
    auto answer = co_await self->engine->send(std::move(request));
    if (!answer) co_return failure(503, "unavailable", answer.error().message);
    net::Response response;
    response.status = answer->status;
    response.headers.set("Content-Type", std::string(answer->headers.get("Content-Type")));
    response.headers.set("Cache-Control", "no-store");
    response.body =
        net::StreamBody{[body = answer->body](net::BodyWriter& out) { return copy(body, out); }, std::nullopt};
    co_return response;
  }

  static async::Task<net::Response> values(std::shared_ptr<Prometheus> self, ContextPtr context) {
    const std::string& name = context->params.at("name");
    const auto good = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == ':'; };
    if (name.empty() || name.size() > 200 || !std::all_of(name.begin(), name.end(), good))
      throw base::bad_request(fmt::format("\"{}\" is not a label's name: letters, digits and _", name));
    return ask(std::move(self), std::move(context), "label/" + name + "/values");
  }
};

}  // namespace

std::string confined_form(const Parameters& parameters, const std::string& filter) {
  std::string out;
  const auto add = [&out](std::string_view name, std::string_view value) {
    if (!out.empty()) out += '&';
    out += base::percent_encode(name) + "=" + base::percent_encode(value);
  };
  for (const auto& [name, value] : parameters) {
    if (std::find(std::begin(kPassedOn), std::end(kPassedOn), name) != std::end(kPassedOn)) add(name, value);
  }
  if (!filter.empty()) add("extra_filters[]", filter);
  return out;
}

void add_prometheus_routes(platform::Host& host, std::shared_ptr<MetricsEngine> engine) {
  auto self = std::make_shared<Prometheus>(
      Prometheus{&host, std::move(engine), host.caches().of(client::resources::kNamespaces)});
  const api::Authenticated permission{
      "Each answer is confined to the namespaces in which the caller has get on metrics (group mainstay.dev)"};
  for (const char* method : {"GET", "POST"}) {
    for (const auto& [path, summary] : {std::pair{"query", "A PromQL query at one time"},
                                        {"query_range", "A PromQL query over a span of time"},
                                        {"series", "Series that match selectors"},
                                        {"labels", "Names of labels"},
                                        {"metadata", "Metadata of metrics"},
                                        {"status/buildinfo", "The engine's version"}}) {
      host.api().add_route({method, std::string("/prometheus/api/v1/") + path, permission, summary,
                            [self, path](ContextPtr c) { return Prometheus::ask(self, std::move(c), path); }, nullptr});
    }
    host.api().add_route({method, "/prometheus/api/v1/label/{name}/values", permission, "Values of a label",
                          [self](ContextPtr c) { return Prometheus::values(self, std::move(c)); }, nullptr});
  }
}

}  // namespace mainstay::observe
