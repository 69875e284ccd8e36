#include "capabilities/compute/metrics/metrics_api.h"

#include <unistd.h>

#include <charconv>

#include "async/sync.h"
#include "base/encoding.h"
#include "base/selector.h"
#include "base/status.h"
#include "base/strings.h"
#include "capabilities/compute/fs.h"
#include "capabilities/compute/metrics/usage.h"

namespace mainstay::compute {
namespace {

using ContextPtr = std::shared_ptr<api::RequestContext>;

constexpr const char* kVersion = "metrics.k8s.io/v1beta1";
constexpr const char* kNode = "mainstay";

struct NodeUse {
  double cpu_seconds = 0;
  std::uint64_t memory = 0;
};

std::uint64_t number(std::string_view text) {
  std::uint64_t n = 0;
  text = base::trim(text);
  std::from_chars(text.data(), text.data() + text.size(), n);
  return n;
}

// proc(5): all but idle time and the guests', which user time holds already.
NodeUse read_node() {
  NodeUse out;
  const std::string stat = slurp("/proc/stat", 4096), memory = slurp("/proc/meminfo", 4096);
  std::vector<std::uint64_t> fields;
  for (const std::string_view word : base::split(stat.substr(0, stat.find('\n')), ' ')) {
    if (!word.empty() && word != "cpu") fields.push_back(number(word));
  }
  for (std::size_t i = 0; i < fields.size() && i < 8; ++i) {
    if (i != 3 && i != 4)
      out.cpu_seconds += static_cast<double>(fields[i]) / static_cast<double>(::sysconf(_SC_CLK_TCK));
  }
  std::uint64_t total = 0, available = 0;
  for (const std::string_view line : base::split(memory, '\n')) {
    if (line.starts_with("MemTotal:")) total = number(line.substr(9));
    if (line.starts_with("MemAvailable:")) available = number(line.substr(13));
  }
  out.memory = (total - std::min(total, available)) * 1024;
  return out;
}

struct Metrics {
  Metrics(platform::Host& h, std::shared_ptr<Agent> a) : host(h), agent(std::move(a)) {}
  platform::Host& host;
  std::shared_ptr<Agent> agent;
  CpuRates rates;

  struct Now {
    std::vector<platform::PodStats> pods;
    NodeUse node;
    std::map<std::string, double> cores;
    std::chrono::milliseconds window{0};
    std::string at;
  };

  async::Task<Now> sample() {
    const auto source = host.find<platform::StatsSource>();
    if (!source) throw base::unavailable("started with --no-compute: nothing runs here");
    Now now;
    now.pods = co_await source->pods();
    now.node = co_await host.runtime().blocking([] { return read_node(); });
    CpuCounters counters = {{"", now.node.cpu_seconds}};
    for (const auto& pod : now.pods) {
      for (const auto& container : pod.containers) counters[container.id] = container.cpu_seconds;
    }
    now.cores = rates.take(std::move(counters), host.clock().steady());
    now.window = rates.window();
    now.at = base::rfc3339(host.clock().now());
    co_return now;
  }

  // Who asks for the first time in a minute waits for a second sample.
  async::Task<Now> measured() {
    if (!rates.ready(host.clock().steady())) {
      (void)co_await sample();
      co_await async::sleep_for(CpuRates::kShortest);
    }
    co_return co_await sample();
  }

  json::object labels_of(const platform::PodStats& pod) const {
    const client::ObjectPtr object = agent->node() ? agent->node()->pods->get(pod.ns, pod.name) : nullptr;
    return object ? base::get_object(*object, "metadata.labels") : json::object{};
  }

  static async::Task<net::Response> pods(std::shared_ptr<Metrics> self, ContextPtr context) {
    const auto at = [&](const char* name) {
      const auto found = context->params.find(name);
      return found == context->params.end() ? std::string() : found->second;
    };
    const std::string ns = at("namespace"), name = at("name");
    auto labels = base::LabelSelector::parse(context->http->query.get("labelSelector"));
    if (!labels) throw base::bad_request("labelSelector: " + labels.error().message);
    auto fields = base::FieldSelector::parse(context->http->query.get("fieldSelector"));
    if (!fields) throw base::bad_request("fieldSelector: " + fields.error().message);
    for (const std::string& path : fields->paths()) {
      if (path != "metadata.name" && path != "metadata.namespace")
        throw base::bad_request(fmt::format("field label not supported: {}", path));
    }
    const Now now = co_await self->measured();
    json::array items;
    for (const auto& pod : now.pods) {
      if ((!ns.empty() && pod.ns != ns) || (!name.empty() && pod.name != name)) continue;
      const json::object own = self->labels_of(pod);
      if (!labels->empty() && !labels->matches(own)) continue;
      json::value metrics = pod_metrics(pod, own, now.cores, now.at, now.window);
      if (!base::get_array(metrics, "containers").empty() && fields->matches(metrics))
        items.push_back(std::move(metrics));
    }
    if (!name.empty()) {
      if (items.empty()) throw base::not_found("pods.metrics.k8s.io", name);
      co_return net::Response::json(200, items.front());
    }
    co_return net::Response::json(200, {{"apiVersion", kVersion},
                                        {"kind", "PodMetricsList"},
                                        {"metadata", json::object{}},
                                        {"items", std::move(items)}});
  }

  static async::Task<net::Response> nodes(std::shared_ptr<Metrics> self, ContextPtr context) {
    const auto name = context->params.find("name");
    if (name != context->params.end() && name->second != kNode)
      throw base::not_found("nodes.metrics.k8s.io", name->second);
    const Now now = co_await self->measured();
    const auto cores = now.cores.find("");
    const json::value node = {
        {"apiVersion", kVersion},
        {"kind", "NodeMetrics"},
        {"metadata", {{"name", kNode}, {"creationTimestamp", now.at}}},
        {"timestamp", now.at},
        {"window", fmt::format("{}s", std::max<std::int64_t>(1, (now.window.count() + 500) / 1000))},
        {"usage", usage_of(cores == now.cores.end() ? 0 : cores->second, now.node.memory)}};
    if (name != context->params.end()) co_return net::Response::json(200, node);
    co_return net::Response::json(200, {{"apiVersion", kVersion},
                                        {"kind", "NodeMetricsList"},
                                        {"metadata", json::object{}},
                                        {"items", json::array{node}}});
  }
};

api::Permission may(std::string resource) {
  return api::Require([resource](const api::RequestContext& c) {
    const auto at = [&](const char* name) {
      const auto found = c.params.find(name);
      return found == c.params.end() ? std::string() : found->second;
    };
    const std::string name = at("name");
    return api::Attributes{name.empty() ? "list" : "get", "metrics.k8s.io", resource, "", at("namespace"), name, ""};
  });
}

}  // namespace

void add_metrics_api(platform::Host& host, std::shared_ptr<Agent> agent) {
  auto metrics = std::make_shared<Metrics>(host, std::move(agent));
  using Handler = async::Task<net::Response> (*)(std::shared_ptr<Metrics>, ContextPtr);
  const std::tuple<const char*, const char*, const char*, Handler> routes[] = {
      {"/pods", "pods", "What pods use, of all namespaces", &Metrics::pods},
      {"/namespaces/{namespace}/pods", "pods", "What the pods of a namespace use", &Metrics::pods},
      {"/namespaces/{namespace}/pods/{name}", "pods", "What a pod uses", &Metrics::pods},
      {"/nodes", "nodes", "What the nodes use", &Metrics::nodes},
      {"/nodes/{name}", "nodes", "What a node uses", &Metrics::nodes}};
  for (const auto& [path, resource, summary, handler] : routes) {
    host.api().add_route({"GET", std::string("/apis/") + kVersion + path, may(resource), summary,
                          [metrics, handler](ContextPtr c) { return handler(metrics, std::move(c)); }, nullptr});
  }
}

}  // namespace mainstay::compute
