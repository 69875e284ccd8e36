#include "capabilities/observe/prometheus_routes.h"

#include "base/encoding.h"
#include "base/status.h"
#include "capabilities/observe/request_form.h"

namespace mainstay::observe {
namespace {
using ContextPtr = std::shared_ptr<api::RequestContext>;
using Parameters = std::vector<std::pair<std::string, std::string>>;

constexpr std::string_view kPassedOn[] = {"query",   "time",  "start",   "end",     "step",
                                          "match[]", "limit", "timeout", "nocache", "metric"};

// The engine's errors in the API's own form.
net::Response failure(int status, std::string_view type, const std::string& message) {
  return net::Response::json(status, {{"status", "error"}, {"errorType", type}, {"error", message}});
}

constexpr std::size_t kWhole = 64 * 1024;

async::Task<> copy(std::string begun, std::shared_ptr<net::BodyReader> from, net::BodyWriter& to) {
  co_await to.write(begun);
  begun.resize(kWhole);
  while (const std::size_t n = co_await from->read(begun)) co_await to.write(std::string_view(begun.data(), n));
}

// A short answer goes out in one piece, which costs half as much as one that is passed on while it comes.
async::Task<net::Body> body_of(std::shared_ptr<net::BodyReader> from) {
  std::string begun;
  std::size_t size = 0;
  for (;;) {
    if (begun.size() - size < kWhole / 8) begun.resize(std::min(kWhole, begun.size() + kWhole / 4));
    if (size == begun.size()) break;
    const std::size_t n = co_await from->read(std::span(begun).subspan(size));
    if (n == 0) {
      begun.resize(size);
      co_return begun;
    }
    size += n;
  }
  co_return net::StreamBody{[begun = std::move(begun), from](net::BodyWriter& out) { return copy(begun, from, out); },
                            std::nullopt};
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
    request.body = confined_form((co_await parameters_of(context)).all(), series_filter(scope));
    auto answer = co_await self->engine->send(std::move(request));
    if (!answer) co_return failure(503, "unavailable", answer.error().message);
    net::Response response;
    response.status = answer->status;
    response.headers.set("Content-Type", std::string(answer->headers.get("Content-Type")));
    response.headers.set("Cache-Control", "no-store");
    response.body = co_await body_of(answer->body);
    co_return response;
  }

  // The engine names none. By it Grafana decides whether the values of labels may be asked for by selector: since 2.24.
  static async::Task<net::Response> build_info(ContextPtr) {
    co_return net::Response::json(
        200, {{"status", "success"}, {"data", {{"version", "2.24.0"}, {"revision", "mainstay"}, {"branch", ""}}}});
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
    const auto add = [&](const std::string& path, const char* summary, auto handler) {
      host.api().add_route({.method = method,
                            .pattern = "/prometheus/api/v1/" + path,
                            .permission = permission,
                            .summary = summary,
                            .handler = std::move(handler),
                            .reads_only = true});
    };
    for (const auto& [path, summary] : {std::pair{"query", "A PromQL query at one time"},
                                        {"query_range", "A PromQL query over a span of time"},
                                        {"series", "Series that match selectors"},
                                        {"labels", "Names of labels"},
                                        {"metadata", "Metadata of metrics"},
                                        {"query_exemplars", "Exemplars, of which the engine keeps none"}})
      add(path, summary, [self, path](ContextPtr c) { return Prometheus::ask(self, std::move(c), path); });
    add("status/buildinfo", "What version of Prometheus' API this is like", &Prometheus::build_info);
    add("label/{name}/values", "Values of a label",
        [self](ContextPtr c) { return Prometheus::values(self, std::move(c)); });
  }
}

}  // namespace mainstay::observe
