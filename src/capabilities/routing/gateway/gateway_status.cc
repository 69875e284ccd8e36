#include "capabilities/routing/gateway/gateway_controller.h"

namespace mainstay::routing {
namespace {

// Conditions into `holder.<path>`, with the time kept where the status is the same.
void put_conditions(json::value& holder, std::string_view path, const json::array& before, std::int64_t generation,
                    const std::vector<Condition>& conditions, base::SystemTime now) {
  json::array out;
  for (const Condition& c : conditions) {
    const std::string status = c.status ? "True" : "False";
    std::string since = base::rfc3339(now);
    for (const json::value& old : before) {
      if (base::get_string(old, "type") == c.type && base::get_string(old, "status") == status)
        since = base::get_string(old, "lastTransitionTime", since);
    }
    out.push_back(json::object{{"type", c.type},
                               {"status", status},
                               {"reason", c.reason},
                               {"message", c.message},
                               {"observedGeneration", generation},
                               {"lastTransitionTime", since}});
  }
  base::set(holder, path, std::move(out));
}

// The element of a list whose field has this value; an empty object where there is none.
json::value element(const json::array& list, std::string_view field, const json::value& value) {
  for (const json::value& item : list) {
    const json::value* found = base::find(item, field);
    if (found != nullptr && *found == value) return item;
  }
  return json::object();
}

}  // namespace

void write_class_status(json::value& gateway_class, base::SystemTime now) {
  json::array features;
  for (const std::string& name : kSupportedFeatures) features.push_back(json::object{{"name", name}});
  base::set(gateway_class, "status.supportedFeatures", std::move(features));
  const json::array before = base::get_array(gateway_class, "status.conditions");
  put_conditions(gateway_class, "status.conditions", before, base::get_int(gateway_class, "metadata.generation"),
                 {{"Accepted", "Accepted", "", true}}, now);
}

void write_gateway_status(json::value& gateway, const std::vector<ListenerStatus>& listeners,
                          const std::string& address, const std::string& trouble, base::SystemTime now) {
  const std::int64_t generation = base::get_int(gateway, "metadata.generation");
  bool any = false;
  json::array out;
  const json::array before = base::get_array(gateway, "status.listeners");
  for (const ListenerStatus& listener : listeners) {
    const json::value old = element(before, "name", json::string(listener.name));
    json::array kinds;
    for (const std::string& kind : listener.kinds)
      kinds.push_back(json::object{{"group", "gateway.networking.k8s.io"}, {"kind", kind}});
    json::value entry = json::object{
        {"name", listener.name}, {"attachedRoutes", listener.attached}, {"supportedKinds", std::move(kinds)}};
    put_conditions(entry, "conditions", base::get_array(old, "conditions"), generation, listener.conditions, now);
    for (const Condition& c : listener.conditions) any = any || (c.type == "Programmed" && c.status);
    out.push_back(std::move(entry));
  }
  base::set(gateway, "status.listeners", std::move(out));
  base::set(gateway, "status.addresses", json::array{json::object{{"type", "IPAddress"}, {"value", address}}});
  const bool programmed = any && trouble.empty();
  const json::array conditions = base::get_array(gateway, "status.conditions");
  put_conditions(gateway, "status.conditions", conditions, generation,
                 {{"Accepted", any ? "Accepted" : "ListenersNotValid", any ? "" : "no listener can be served", any},
                  {"Programmed", programmed ? "Programmed" : "Invalid", trouble, programmed}},
                 now);
}

void write_route_parents(json::value& route, const std::vector<ParentStatus>& parents, base::SystemTime now) {
  const json::array before = base::get_array(route, "status.parents");
  json::array out;
  // What other controllers say of their parents stays.
  for (const json::value& parent : before) {
    if (base::get_string(parent, "controllerName") != kGatewayController) out.push_back(parent);
  }
  for (const ParentStatus& parent : parents) {
    const json::value old = element(before, "parentRef", parent.reference);
    json::value entry = json::object{{"parentRef", parent.reference}, {"controllerName", kGatewayController}};
    put_conditions(entry, "conditions", base::get_array(old, "conditions"), base::get_int(route, "metadata.generation"),
                   parent.conditions, now);
    out.push_back(std::move(entry));
  }
  if (out.empty() && before.empty()) return;
  base::set(route, "status.parents", std::move(out));
}

void write_ingress_status(json::value& ingress, const Condition& accepted, const std::string& address,
                          base::SystemTime now) {
  json::array at;
  if (accepted.status) at.push_back(json::object{{"ip", address}});
  base::set(ingress, "status.loadBalancer", json::object{{"ingress", std::move(at)}});
  const json::array before = base::get_array(ingress, "status.conditions");
  put_conditions(ingress, "status.conditions", before, base::get_int(ingress, "metadata.generation"), {accepted}, now);
}

void clear_ingress_status(json::value& ingress, const std::string& address) {
  // Other controllers write no conditions: networking.k8s.io has none for an Ingress.
  if (!base::erase(ingress, "status.conditions")) return;
  if (base::get_array(ingress, "status.loadBalancer.ingress") == json::array{json::object{{"ip", address}}})
    base::erase(ingress, "status.loadBalancer");
}

}  // namespace mainstay::routing
