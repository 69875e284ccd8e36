#include "capabilities/compute/controllers/endpointslice.h"

#include <map>

#include "base/selector.h"
#include "base/status.h"
#include "capabilities/compute/controllers/pods.h"
#include "capabilities/compute/controllers/rollout.h"

namespace mainstay::compute {
namespace {

using client::ObjectPtr;
using client::resources::kEndpointSlices;
using client::resources::kPods;
using client::resources::kServices;

constexpr std::string_view kManager = "endpointslice-controller.mainstay.dev";
constexpr std::string_view kManagedBy = "endpointslice.kubernetes.io/managed-by";
constexpr std::string_view kServiceName = "kubernetes.io/service-name";

std::string name_of(const json::value& object) { return base::get_string(object, "metadata.name"); }
std::string ns_of(const json::value& object) { return base::get_string(object, "metadata.namespace"); }

std::int64_t named_port(const json::value& pod, std::string_view name, std::string_view protocol) {
  for (const json::value& container : base::get_array(pod, "spec.containers")) {
    for (const json::value& port : base::get_array(container, "ports")) {
      if (base::get_string(port, "name") == name && base::get_string(port, "protocol", "TCP") == protocol)
        return base::get_int(port, "containerPort");
    }
  }
  return 0;
}

// The Service's ports as this pod answers them; a port it does not have is left out.
json::array ports_of(const json::value& service, const json::value& pod) {
  json::array out;
  for (const json::value& port : base::get_array(service, "spec.ports")) {
    const std::string protocol = base::get_string(port, "protocol", "TCP");
    const json::value* target = base::find(port, "targetPort");
    std::int64_t number = base::get_int(port, "port");
    if (target != nullptr && target->is_string()) {
      number = named_port(pod, target->as_string(), protocol);
    } else if (target != nullptr && base::get_int(port, "targetPort") != 0) {
      number = base::get_int(port, "targetPort");
    }
    if (number == 0) continue;
    json::object entry{{"name", base::get_string(port, "name")}, {"port", number}, {"protocol", protocol}};
    if (const std::string app = base::get_string(port, "appProtocol"); !app.empty()) entry["appProtocol"] = app;
    out.push_back(std::move(entry));
  }
  return out;
}

json::object endpoint_of(const json::value& service, const json::value& pod) {
  const bool publish_unready = base::get_bool(service, "spec.publishNotReadyAddresses");
  const bool serving = pod_ready(pod);
  const bool terminating = being_deleted(pod);
  json::object out{{"addresses", json::array{base::get_string(pod, "status.podIP")}},
                   {"conditions", json::object{{"ready", publish_unready || (serving && !terminating)},
                                               {"serving", serving || publish_unready},
                                               {"terminating", terminating}}},
                   {"nodeName", base::get_string(pod, "spec.nodeName")},
                   {"targetRef", json::object{{"kind", "Pod"},
                                              {"namespace", ns_of(pod)},
                                              {"name", name_of(pod)},
                                              {"uid", base::get_string(pod, "metadata.uid")}}}};
  // The pod's own name below the Service's, which DNS answers.
  if (const std::string hostname = base::get_string(pod, "spec.hostname");
      !hostname.empty() && base::get_string(pod, "spec.subdomain") == name_of(service))
    out["hostname"] = hostname;
  return out;
}

json::value slice_of(const json::value& service, json::array ports, json::array endpoints) {
  json::object labels = base::get_object(service, "metadata.labels");
  labels[kServiceName] = name_of(service);
  labels[kManagedBy] = kManager;
  if (base::get_string(service, "spec.clusterIP") == "None") labels["service.kubernetes.io/headless"] = "";
  // One name for one set of ports of one Service: a pass on an old copy meets its own slice and makes no second one.
  const std::string suffix =
      template_hash(json::object{{"uid", base::get_string(service, "metadata.uid")}, {"ports", ports}}, 0).substr(0, 6);
  return json::object{{"apiVersion", "discovery.k8s.io/v1"},
                      {"kind", "EndpointSlice"},
                      {"metadata", json::object{{"name", name_of(service) + "-" + suffix},
                                                {"namespace", ns_of(service)},
                                                {"labels", std::move(labels)},
                                                {"ownerReferences", json::array{reconcile::owner_reference(service)}}}},
                      {"addressType", "IPv4"},
                      {"endpoints", std::move(endpoints)},
                      {"ports", std::move(ports)}};
}

bool selects(const json::value& service, const json::value& pod) {
  const json::object& selector = base::get_object(service, "spec.selector");
  if (selector.empty()) return false;
  const json::object& labels = base::get_object(pod, "metadata.labels");
  return std::all_of(selector.begin(), selector.end(), [&labels](const json::key_value_pair& term) {
    const json::value* have = labels.if_contains(term.key());
    return have != nullptr && *have == term.value();
  });
}

bool ours(const json::value& slice, std::string_view service) {
  return base::label(slice, kServiceName) == service && base::label(slice, kManagedBy) == kManager;
}

}  // namespace

std::vector<json::value> endpoint_slices(const json::value& service, const std::vector<ObjectPtr>& pods) {
  struct Group {
    json::array ports, endpoints;
  };
  std::map<std::string, Group> groups;  // by ports
  std::vector<ObjectPtr> sorted = pods;
  std::sort(sorted.begin(), sorted.end(),
            [](const ObjectPtr& a, const ObjectPtr& b) { return name_of(*a) < name_of(*b); });
  for (const ObjectPtr& pod : sorted) {
    if (!selects(service, *pod) || pod_finished(*pod) || base::get_string(*pod, "status.podIP").empty()) continue;
    json::array ports = ports_of(service, *pod);
    if (ports.empty() && !base::get_array(service, "spec.ports").empty()) continue;
    Group& group = groups[base::to_json(ports)];
    group.ports = std::move(ports);
    group.endpoints.push_back(endpoint_of(service, *pod));
  }
  std::vector<json::value> out;
  for (auto& [key, group] : groups)
    out.push_back(slice_of(service, std::move(group.ports), std::move(group.endpoints)));
  return out;
}

EndpointSliceController::EndpointSliceController(platform::Host& host)
    : client_(host.client("endpointslice-controller")),
      services_(host.caches().of(kServices)),
      pods_(host.caches().of(kPods)),
      slices_(host.caches().of(kEndpointSlices)) {}

void EndpointSliceController::add_to(platform::Host& host) {
  auto self = std::make_shared<EndpointSliceController>(host);
  reconcile::ControllerOptions options;
  options.name = "endpointslice-controller";
  options.primary = kServices;
  options.also.push_back({kPods, [self](const json::value& pod) {
                            std::vector<reconcile::Name> out;
                            for (const ObjectPtr& service : self->services_->list(ns_of(pod))) {
                              if (selects(*service, pod)) out.push_back({ns_of(pod), name_of(*service)});
                            }
                            return out;
                          }});
  // A slice that somebody changed or deleted is put right.
  options.also.push_back({kEndpointSlices, [](const json::value& slice) -> std::vector<reconcile::Name> {
                            if (base::label(slice, kManagedBy) != kManager) return {};
                            return {{ns_of(slice), base::label(slice, kServiceName)}};
                          }});
  host.add_controller(std::move(options), [self](reconcile::Name name) { return self->reconcile(std::move(name)); });
}

async::Task<reconcile::Outcome> EndpointSliceController::reconcile(reconcile::Name name) {
  auto keep = shared_from_this();
  const ObjectPtr service = services_->get(name.ns, name.name);
  std::vector<json::value> wanted;
  if (service && !being_deleted(*service)) {
    // Without a selector its slices are its owner's to write.
    if (base::get_object(*service, "spec.selector").empty() ||
        base::get_string(*service, "spec.type") == "ExternalName")
      co_return reconcile::Outcome::done();
    wanted = endpoint_slices(*service, pods_->list(name.ns));
  }
  std::map<std::string, ObjectPtr> present;
  for (const ObjectPtr& slice : slices_->list(name.ns)) {
    if (ours(*slice, name.name)) present[name_of(*slice)] = slice;
  }
  std::string last_version;
  for (json::value& slice : wanted) {
    const auto it = present.find(name_of(slice));
    if (it == present.end()) {
      try {
        last_version =
            base::get_string(co_await client_.create(kEndpointSlices, name.ns, slice), "metadata.resourceVersion");
      } catch (const base::StatusError& e) {
        if (!e.is_already_exists()) throw;  // the copy is behind: its event brings us back
      }
      continue;
    }
    const ObjectPtr old = it->second;
    present.erase(it);
    const auto same = [&](std::string_view path) {
      const json::value *a = base::find(*old, path), *b = base::find(slice, path);
      return a != nullptr && b != nullptr && *a == *b;
    };
    if (same("endpoints") && same("ports") && same("metadata.labels")) continue;
    json::value patch = json::object{{"metadata", json::object{{"labels", base::get_object(slice, "metadata.labels")}}},
                                     {"endpoints", base::get_array(slice, "endpoints")},
                                     {"ports", base::get_array(slice, "ports")}};
    last_version =
        base::get_string(co_await client_.merge_patch(kEndpointSlices, name.ns, name_of(slice), std::move(patch)),
                         "metadata.resourceVersion");
  }
  for (const auto& [stale, slice] : present) co_await client_.remove(kEndpointSlices, name.ns, stale);
  if (!last_version.empty()) co_await async::with_timeout(slices_->caught_up(last_version), std::chrono::seconds(2));
  co_return reconcile::Outcome::done();
}

}  // namespace mainstay::compute
