#include "capabilities/routing/route.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <set>

#include "base/strings.h"
#include "reconcile/controller.h"

namespace mainstay::routing {
namespace {

constexpr std::size_t kMostEndpoints = 500;

bool is_ipv4(const std::string& text) {
  in_addr parsed{};
  return ::inet_pton(AF_INET, text.c_str(), &parsed) == 1;
}

bool speaks_http(std::string_view app_protocol) {
  return app_protocol.empty() || app_protocol == "http" || app_protocol == "h2c" ||
         app_protocol == "kubernetes.io/h2c" || app_protocol == "ws" || app_protocol == "kubernetes.io/ws";
}

// The port to serve: the one named http, else the first that says it is HTTP, else the first of TCP that does not say
// otherwise.
const json::value* http_port(const json::value& service) {
  const json::value *said = nullptr, *first = nullptr;
  for (const json::value& port : base::get_array(service, "spec.ports")) {
    const std::string app = base::get_string(port, "appProtocol");
    if (base::get_string(port, "protocol", "TCP") != "TCP" || !speaks_http(app)) continue;
    if (base::get_string(port, "name") == "http") return &port;
    if (said == nullptr && !app.empty()) said = &port;
    if (first == nullptr) first = &port;
  }
  return said != nullptr ? said : first;
}

// HAProxy's names of servers are plain words; pods' names are, too, but slices may be anybody's.
std::string server_name(const json::value& endpoint, const std::string& address) {
  if (base::get_string(endpoint, "targetRef.kind") == "Pod") {
    const std::string name = base::get_string(endpoint, "targetRef.name");
    if (base::check_dns_subdomain(name)) return name;
  }
  return "ip-" + address;
}

void add_endpoints(const json::value& slice, const std::string& port_name, std::map<std::string, Endpoint>& out) {
  std::int64_t number = 0;
  for (const json::value& port : base::get_array(slice, "ports")) {
    if (base::get_string(port, "name") == port_name) number = base::get_int(port, "port");
  }
  if (base::get_string(slice, "addressType", "IPv4") != "IPv4" || number < 1 || number > 65535) return;
  for (const json::value& item : base::get_array(slice, "endpoints")) {
    const json::array& addresses = base::get_array(item, "addresses");
    if (addresses.empty() || !addresses[0].is_string() || out.size() >= kMostEndpoints) continue;
    Endpoint endpoint;
    endpoint.address = addresses[0].as_string().c_str();
    if (!is_ipv4(endpoint.address)) continue;
    endpoint.port = static_cast<std::uint16_t>(number);
    // With its port: a Service that turns to another port has new servers beside the old ones, not a gap between them.
    endpoint.name = fmt::format("{}:{}", server_name(item, endpoint.address), number);
    // Absent conditions mean true (ready, serving) and false (terminating), says the API.
    endpoint.ready = base::get_bool(item, "conditions.ready", true) && !base::get_bool(item, "conditions.terminating");
    const auto [at, fresh] = out.try_emplace(endpoint.name, endpoint);
    if (!fresh && !at->second.ready) at->second = endpoint;  // in two slices while it moves: the ready one counts
  }
}

// Words of the API's own (CrashLoopBackOff, ImagePullBackOff, Unschedulable): what pods say beyond them is not for
// everybody.
bool is_word(std::string_view text) {
  return !text.empty() && text.size() <= 64 &&
         std::ranges::all_of(text, [](unsigned char c) { return std::isalnum(c) != 0; });
}

std::string trouble_of(const json::value& service, const std::vector<client::ObjectPtr>& pods) {
  std::set<std::string> words;
  for (const client::ObjectPtr& pod : pods) {
    if (!selects(service, *pod)) continue;
    const json::value* scheduled = reconcile::find_condition(*pod, "PodScheduled");
    if (scheduled != nullptr && base::get_string(*scheduled, "status") == "False")
      words.insert(base::get_string(*scheduled, "reason"));
    for (const char* list : {"status.initContainerStatuses", "status.containerStatuses"}) {
      for (const json::value& container : base::get_array(*pod, list))
        words.insert(base::get_string(container, "state.waiting.reason"));
    }
  }
  std::vector<std::string> said;
  for (const std::string& word : words) {
    if (is_word(word)) said.push_back(word);
  }
  return base::join(said, ", ");
}

}  // namespace

bool selects(const json::value& service, const json::value& pod) {
  const json::object& selector = base::get_object(service, "spec.selector");
  const json::object& labels = base::get_object(pod, "metadata.labels");
  return !selector.empty() && std::ranges::all_of(selector, [&labels](const json::key_value_pair& term) {
    const json::value* have = labels.if_contains(term.key());
    return have != nullptr && *have == term.value();
  });
}

std::vector<Endpoint> service_endpoints(const std::string& port_name, const std::vector<client::ObjectPtr>& slices) {
  std::map<std::string, Endpoint> by_name;
  for (const client::ObjectPtr& slice : slices) add_endpoints(*slice, port_name, by_name);
  std::vector<Endpoint> out;
  for (auto& [name, endpoint] : by_name) out.push_back(std::move(endpoint));
  return out;
}

std::size_t Route::ready() const {
  return static_cast<std::size_t>(
      std::count_if(endpoints.begin(), endpoints.end(), [](const Endpoint& e) { return e.ready; }));
}

std::string Route::why_not_ready() const {
  if (broken) return "none of the Services it names can be used";
  const std::string more = trouble.empty() ? "" : fmt::format(" ({})", trouble);
  if (endpoints.empty()) return "no pod with an address stands behind it" + more;
  return fmt::format("{} of {} {} ready{}", ready(), endpoints.size(), endpoints.size() == 1 ? "pod is" : "pods are",
                     more);
}

RouteDecision decide_route(const json::value& service, const json::value* ns,
                           const std::vector<client::ObjectPtr>& slices, const base::Config& config,
                           const std::vector<client::ObjectPtr>& pods) {
  const std::string team = ns != nullptr ? base::label(*ns, "mainstay.dev/team") : "";
  const std::string environment = ns != nullptr ? base::label(*ns, "mainstay.dev/environment") : "";
  const std::string name = base::get_string(service, "metadata.name");
  if (team.empty() || environment.empty() || base::get_string(service, "spec.type") == "ExternalName") return {};
  if (!base::check_dns_label(team) || !base::check_dns_label(environment) || !base::check_dns_label(name)) return {};
  if (base::annotation(service, "mainstay.dev/expose") == "false")
    return {std::nullopt, "OptedOut", "not served at the edge: annotation mainstay.dev/expose is \"false\""};
  const json::value* port = http_port(service);
  if (port == nullptr)
    return {std::nullopt, "NoHTTPPort",
            "not served at the edge: no TCP port speaks HTTP; name one http, or set its appProtocol to http"};
  Route route;
  route.certificate = fmt::format("{}.{}", environment, team);
  route.host = fmt::format("{}.{}.{}", name, route.certificate, config.domain);
  route.service = fmt::format("{}/{}", base::get_string(service, "metadata.namespace"), name);
  route.plain_http = base::annotation(service, "mainstay.dev/http") == "serve";
  const std::string app = base::get_string(*port, "appProtocol");
  route.http2 = app == "h2c" || app == "kubernetes.io/h2c";
  std::map<std::string, Endpoint> endpoints;
  for (const client::ObjectPtr& slice : slices) {
    if (base::label(*slice, "kubernetes.io/service-name") == name)
      add_endpoints(*slice, base::get_string(*port, "name"), endpoints);
  }
  for (auto& [server, endpoint] : endpoints) route.endpoints.push_back(std::move(endpoint));
  if (route.ready() == 0) route.trouble = trouble_of(service, pods);
  RouteDecision decision;
  decision.reason = route.ready() > 0 ? "Serving" : "NoReadyEndpoints";
  decision.message = route_url(route, config) + (route.ready() > 0 ? "" : " answers 503: " + route.why_not_ready());
  decision.route = std::move(route);
  return decision;
}

std::string route_url(const Route& route, const base::Config& config) {
  if (config.https.port == 0) return fmt::format("http://{}:{}", route.host, config.http.port);
  return config.https.port == 443 ? "https://" + route.host
                                  : fmt::format("https://{}:{}", route.host, config.https.port);
}

}  // namespace mainstay::routing
