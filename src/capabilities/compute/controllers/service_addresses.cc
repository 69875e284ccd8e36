#include "capabilities/compute/controllers/service_addresses.h"

#include <arpa/inet.h>

#include <array>
#include <charconv>
#include <cstring>
#include <stdexcept>

#include "base/ids.h"
#include "base/log.h"
#include "base/status.h"
#include "capabilities/compute/admission.h"
#include "platform/interfaces/addresses.h"

namespace mainstay::compute {
namespace {

using client::ObjectPtr;
using client::resources::kEndpointSlices;
using client::resources::kServices;

constexpr std::uint32_t kKept = 11;  // offsets 0 to 10
constexpr std::uint32_t kApi = 1;
// Longer than any write takes between admission and the copy of Services.
constexpr std::chrono::seconds kReservation{60};

std::optional<std::uint32_t> to_number(std::string_view text) {
  in_addr parsed{};
  if (::inet_pton(AF_INET, std::string(text).c_str(), &parsed) != 1) return std::nullopt;
  return ntohl(parsed.s_addr);
}

[[noreturn]] void refuse(const json::value& service, std::string field, std::string message) {
  throw base::invalid("Service", base::get_string(service, "metadata.name"),
                      {{std::move(field), "FieldValueInvalid", std::move(message)}});
}

bool wants_address(const json::value& service) {
  return base::get_string(service, "spec.type", "ClusterIP") != "ExternalName";
}

void check_type(const json::value& service) {
  const std::string type = base::get_string(service, "spec.type", "ClusterIP");
  if (type == "NodePort") {
    refuse(service, "spec.type",
           "NodePort is not supported here: leave spec.type out (ClusterIP); a Service in an environment is served at "
           "<service>.<environment>.<team>.<domain> by the edge");
  }
  if (type != "ClusterIP" && type != "LoadBalancer" && type != "ExternalName") {
    refuse(service, "spec.type", "supported values: ClusterIP, LoadBalancer, ExternalName");
  }
  for (const json::value& port : base::get_array(service, "spec.ports")) {
    if (base::get_int(port, "nodePort") != 0)
      refuse(service, "spec.ports.nodePort", "node ports are not supported here: leave nodePort out");
  }
}

// What somebody could take for a guard, or for an address of their own, and is none.
constexpr std::array<std::pair<std::string_view, std::string_view>, 5> kUnserved{
    {{"loadBalancerSourceRanges", "say who may come with the annotation mainstay.dev/allow-sources on a route"},
     {"loadBalancerIP", "the edge listens on the machine's own addresses"},
     {"loadBalancerClass", "the edge is the only load balancer"},
     {"healthCheckNodePort", "there are no node ports"},
     {"sessionAffinityConfig", "with ClientIP a client keeps its pod as long as the pods stay the same"}}};

void check_fields(const json::value& service, const json::value* old) {
  for (const auto& [field, why] : kUnserved) {
    const json::value* value = base::find(service, {"spec", field});
    const json::value* before = old == nullptr ? nullptr : base::find(*old, {"spec", field});
    if (value != nullptr && before != nullptr && *value == *before) continue;  // it was let in before
    const bool absent = value == nullptr || value->is_null() || *value == 0 || *value == "" ||
                        (value->is_array() && value->get_array().empty()) ||
                        (value->is_object() && value->get_object().empty());
    if (!absent) refuse(service, fmt::format("spec.{}", field), fmt::format("not served here: {}; leave it out", why));
  }
  if (base::get_string(service, "spec.ipFamilyPolicy") == "RequireDualStack")
    refuse(service, "spec.ipFamilyPolicy", "Services have IPv4 addresses alone: leave it out");
}

// Traffic to such an address goes to the Service's pods, whoever sends it and whosever the address is: the API's,
// another team's Service, a host of the Internet.
void check_external(platform::Host& host, const api::AdmissionRequest& request) {
  const json::value& service = *request.object;
  const json::array& external = base::get_array(service, "spec.externalIPs");
  if (external.empty() ||
      (request.old_object != nullptr && external == base::get_array(*request.old_object, "spec.externalIPs")))
    return;
  if (!may_reach_host(host, request))
    throw base::forbidden(
        fmt::format("services \"{}\" is forbidden: spec.externalIPs takes the traffic to those addresses from "
                    "everybody, which only "
                    "administrators may, outside of team namespaces; use a route to be reached from outside",
                    request.name));
}

}  // namespace

base::Result<AddressRange> AddressRange::parse(std::string_view cidr) {
  const auto bad = [&] {
    return base::fail(base::ErrorCode::kInvalid,
                      fmt::format("service range '{}': give an IPv4 CIDR from /8 to /28, such as 10.96.0.0/16", cidr));
  };
  const auto slash = cidr.find('/');
  if (slash == std::string_view::npos) return bad();
  const auto address = to_number(cidr.substr(0, slash));
  int bits = 0;
  const std::string_view text = cidr.substr(slash + 1);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), bits);
  if (!address || error != std::errc() || end != text.data() + text.size() || bits < 8 || bits > 28) return bad();
  AddressRange range;
  range.size_ = 1u << (32 - bits);
  range.base_ = *address & ~(range.size_ - 1);
  return range;
}

std::optional<std::uint32_t> AddressRange::offset(std::string_view address) const {
  const auto number = to_number(address);
  if (!number || *number < base_ || *number - base_ >= size_) return std::nullopt;
  return *number - base_;
}

std::string AddressRange::address(std::uint32_t offset) const {
  in_addr raw{htonl(base_ + offset)};
  char text[INET_ADDRSTRLEN];
  return ::inet_ntop(AF_INET, &raw, text, sizeof text);
}

std::optional<std::uint32_t> AddressRange::take(const std::set<std::uint32_t>& used, std::uint32_t& cursor,
                                                const std::function<bool(std::uint32_t)>& reserved) const {
  const std::uint32_t count = size_ - 1 - kKept;  // without the last, the broadcast address
  for (std::uint32_t i = 0; i < count; ++i) {
    const std::uint32_t offset = kKept + (cursor + i) % count;
    if (used.contains(offset) || (reserved && reserved(offset))) continue;
    cursor = (cursor + i + 1) % count;
    return offset;
  }
  return std::nullopt;
}

ServiceAddresses::ServiceAddresses(platform::Host& host) : host_(host), services_(host.caches().of(kServices)) {
  auto range = AddressRange::parse(host.config().service_cidr);
  if (!range) throw std::runtime_error(range.error().message);
  range_ = *range;
  // Anywhere: an address freed by a deletion is not given to the next Service while clients still hold it.
  base::random_bytes({reinterpret_cast<unsigned char*>(&cursor_), sizeof cursor_});
  cursor_ %= range_.size() - 1 - kKept;
}

void ServiceAddresses::add_to(platform::Host& host) {
  auto self = std::make_shared<ServiceAddresses>(host);
  api::AdmissionPlugin plugin;
  plugin.name = "service-addresses";
  plugin.mutating = true;
  plugin.matches = [](const api::AdmissionRequest& request) {
    return request.type->group.empty() && request.type->plural == "services" && request.subresource.empty() &&
           request.operation != api::Operation::kDelete;
  };
  plugin.admit = [self](api::AdmissionRequest& request) { return self->admit(request); };
  host.api().add_admission(std::move(plugin));
  host.on_start("service addresses", [self] { return self->make_api_service(); });
}

// The request outlives the coroutine: its caller awaits it.
async::Task<> ServiceAddresses::admit(api::AdmissionRequest& request) {
  auto keep = shared_from_this();
  check_type(*request.object);
  check_fields(*request.object, request.old_object);
  check_external(host_, request);
  if (!services_->has_synced() && !co_await async::with_timeout(services_->synced(), std::chrono::seconds(10)))
    throw base::unavailable("the Services are still being read: try again in a moment");
  json::value& service = *request.object;
  if (!wants_address(service)) {
    // One that it had is let go of with its type; one that it asks for would be taken unseen when it changes back.
    if (request.old_object == nullptr && !base::get_string(service, "spec.clusterIP").empty())
      refuse(service, "spec.clusterIP", "an ExternalName Service has no address: leave it out");
    base::erase(service, "spec.clusterIP");
    base::erase(service, "spec.clusterIPs");
    co_return;
  }
  const json::value* old = request.old_object;
  const std::string had = old != nullptr && wants_address(*old) ? base::get_string(*old, "spec.clusterIP") : "";
  if (had.empty())
    allocate(service);
  else
    keep_address(service, had);
}

void ServiceAddresses::keep_address(json::value& service, const std::string& had) {
  const std::string asked = base::get_string(service, "spec.clusterIP");
  if (asked.empty()) {
    base::set(service, "spec.clusterIP", json::string(had));
  } else if (asked != had) {
    refuse(service, "spec.clusterIP",
           fmt::format("field is immutable (it is {}): delete the Service and create it anew", had));
  }
  base::set(service, "spec.clusterIPs", json::array{had});
}

std::set<std::uint32_t> ServiceAddresses::used(const std::string& ns, const std::string& name) {
  std::set<std::uint32_t> out;
  for (const ObjectPtr& service : services_->list()) {
    if (const auto offset = range_.offset(base::get_string(*service, "spec.clusterIP"))) out.insert(*offset);
  }
  const base::SteadyTime now = host_.clock().steady();
  std::erase_if(reserved_, [now](const auto& entry) { return entry.second.until < now; });
  for (const auto& [offset, reservation] : reserved_) {
    if (reservation.ns != ns || reservation.name != name)
      out.insert(offset);  // one's own, from a write that failed, may be had again
  }
  return out;
}

// The lowest ones are the platform's own, whatever is planned.
bool ServiceAddresses::kept_free(std::uint32_t offset) {
  if (offset < kKept) return false;
  const auto plan = host_.find<platform::AddressReservations>();
  const auto number = to_number(range_.address(offset));
  return plan && number && plan->reserved("services", *number);
}

void ServiceAddresses::allocate(json::value& service) {
  const std::string ns = base::get_string(service, "metadata.namespace"),
                    name = base::get_string(service, "metadata.name");
  const std::string asked = base::get_string(service, "spec.clusterIP");
  std::string address = asked;
  if (asked != "None") {
    const std::set<std::uint32_t> taken = used(ns, name);
    std::optional<std::uint32_t> offset;
    if (asked.empty()) {
      offset = range_.take(taken, cursor_, [this](std::uint32_t candidate) { return kept_free(candidate); });
      if (!offset) {
        throw base::from_error(
            {base::ErrorCode::kExhausted,
             fmt::format("all addresses of the service range {} are taken: delete Services that nobody uses, or "
                         "start Mainstay with a larger service range",
                         host_.config().service_cidr)});
      }
    } else {
      offset = range_.offset(asked);
      if (!offset || *offset == 0 || *offset == range_.size() - 1)
        refuse(service, "spec.clusterIP",
               fmt::format("{} is not in the service range {}: leave it out to be given one", asked,
                           host_.config().service_cidr));
      if (kept_free(*offset))
        refuse(service, "spec.clusterIP", fmt::format("{} is reserved by the AddressPool services", asked));
      if (taken.contains(*offset)) refuse(service, "spec.clusterIP", fmt::format("{} is already allocated", asked));
    }
    reserved_[*offset] = {ns, name, host_.clock().steady() + kReservation};
    address = range_.address(*offset);
  }
  base::set(service, "spec.clusterIP", json::string(address));
  base::set(service, "spec.clusterIPs", json::array{address});
  if (base::find(service, "spec.ipFamilies") == nullptr) base::set(service, "spec.ipFamilies", json::array{"IPv4"});
  if (base::find(service, "spec.ipFamilyPolicy") == nullptr) base::set(service, "spec.ipFamilyPolicy", "SingleStack");
}

// The Service `kubernetes` in `default`, by which pods find the API.
async::Task<> ServiceAddresses::make_api_service() {
  auto keep = shared_from_this();
  const client::ApiClient client = host_.client("service-controller");
  co_await services_->synced();
  const json::object labels{{"component", "apiserver"}, {"provider", "kubernetes"}};
  const json::value service = json::object{
      {"apiVersion", "v1"},
      {"kind", "Service"},
      {"metadata", json::object{{"name", "kubernetes"}, {"namespace", "default"}, {"labels", labels}}},
      {"spec", json::object{{"type", "ClusterIP"},
                            {"clusterIP", range_.address(kApi)},
                            {"ports", json::array{json::object{{"name", "https"},
                                                               {"port", 443},
                                                               {"protocol", "TCP"},
                                                               {"targetPort", host_.config().listen.port}}}}}}};
  json::object slice_labels = labels;
  slice_labels["kubernetes.io/service-name"] = "kubernetes";
  const json::value slice = json::object{
      {"apiVersion", "discovery.k8s.io/v1"},
      {"kind", "EndpointSlice"},
      {"metadata", json::object{{"name", "kubernetes"}, {"namespace", "default"}, {"labels", std::move(slice_labels)}}},
      {"addressType", "IPv4"},
      {"endpoints", json::array{json::object{{"addresses", json::array{host_.config().node_address()}},
                                             {"conditions", json::object{{"ready", true}}}}}},
      {"ports",
       json::array{json::object{{"name", "https"}, {"port", host_.config().listen.port}, {"protocol", "TCP"}}}}};
  const auto present = co_await client.find(kServices, "default", "kubernetes");
  if (present && base::get_string(*present, "spec.clusterIP") != range_.address(kApi)) {
    co_await client.remove(kServices, "default", "kubernetes");  // the range was changed
  }
  co_await client.apply(kServices, service);
  co_await client.apply(kEndpointSlices, slice);
}

}  // namespace mainstay::compute
