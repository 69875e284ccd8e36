// From a Service, its namespace and its EndpointSlices to what the edge should serve. Pure.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/config.h"
#include "client/cache.h"

namespace mainstay::routing {
namespace json = boost::json;

struct Endpoint {
  std::string
      name;  // "<pod>:<port>", unique in its namespace at a time; "ip-<address>:<port>" where a slice names no pod
  std::string address;  // IPv4
  std::uint16_t port = 0;
  bool ready = false;        // takes new requests; else only those under way end
  std::uint16_t weight = 1;  // its share of the requests beside the others, 1 to 256
  auto operator<=>(const Endpoint&) const = default;
};

struct Route {
  std::string host;         // "web.dev.shop.localhost", or the key of a rule
  std::string service;      // "shop-dev/web"
  std::string certificate;  // the name of the environment's certificate: "dev.shop"; "" where rules bring their own
  bool plain_http = false;  // serve on the HTTP port too; else that redirects to HTTPS
  bool by_weight = false;   // deals requests out by weight instead of to who has least to do
  bool broken = false;      // of a rule none of whose backends is there: 500, where a Service without ready pods is 503
  bool http2 = false;       // cleartext HTTP/2 to the pods (appProtocol kubernetes.io/h2c)
  std::vector<Endpoint> endpoints;
  std::string trouble;  // what keeps its pods from being ready, where they say: "CrashLoopBackOff"
  bool operator==(const Route&) const = default;
  std::size_t ready() const;
  std::string why_not_ready() const;  // a sentence for the 503 page
};

struct RouteDecision {
  std::optional<Route> route;
  std::string reason,
      message;  // of the Service's condition Routed; reason "" where the Service is none of the edge's business
};

// `ns` may be null (not known yet). Annotations on the Service: `mainstay.dev/expose: "false"` opts out,
// `mainstay.dev/http: serve` serves plain HTTP instead of redirecting.
// `pods` are looked at for why none is ready.
RouteDecision decide_route(const json::value& service, const json::value* ns,
                           const std::vector<client::ObjectPtr>& slices, const base::Config& config,
                           const std::vector<client::ObjectPtr>& pods = {});

// The pods that serve the Service's port of this name, from its slices, by name.
std::vector<Endpoint> service_endpoints(const std::string& port_name, const std::vector<client::ObjectPtr>& slices);

// Whether the Service's selector, where it has one, matches the pod's labels.
bool selects(const json::value& service, const json::value& pod);

// "https://web.dev.shop.localhost:8443", without the port where it is HTTPS' own.
std::string route_url(const Route& route, const base::Config& config);

}  // namespace mainstay::routing
