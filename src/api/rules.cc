#include "api/rules.h"

#include <fmt/format.h>

#include "api/field_path.h"
#include "base/encoding.h"
#include "base/quantity.h"
#include "base/selector.h"

namespace mainstay::api {
namespace json = base::json;
namespace {

const json::value* at(const json::value& object, std::string_view path) { return base::find(object, path); }

bool same(const json::value* a, const json::value* b) {
  if (!a || !b) return a == b;
  return *a == *b;
}

void forbid(std::vector<Violation>& out, std::string field, std::string why) {
  out.push_back({std::move(field), "FieldValueForbidden", "Forbidden: " + why});
}
void invalid_value(std::vector<Violation>& out, std::string field, const json::value& value, std::string_view why) {
  out.push_back(
      {std::move(field), "FieldValueInvalid", fmt::format("Invalid value: {}: {}", json::serialize(value), why)});
}
void require(std::vector<Violation>& out, std::string field, std::string_view why = "") {
  out.push_back({std::move(field), "FieldValueRequired",
                 why.empty() ? "Required value" : fmt::format("Required value: {}", why)});
}

// ---- pods and their templates

// Latest means always: a tag that moves is looked at again.
bool moves(std::string_view image) {
  if (image.find('@') != std::string_view::npos) return false;
  const auto slash = image.rfind('/');
  const auto colon = image.rfind(':');
  if (colon == std::string_view::npos || (slash != std::string_view::npos && colon < slash)) return true;
  return image.substr(colon + 1) == "latest";
}

void default_container(json::object& container) {
  if (!container.contains("imagePullPolicy")) {
    const json::value* image = container.if_contains("image");
    const bool always = image && image->is_string() && moves(image->get_string());
    container["imagePullPolicy"] = always ? "Always" : "IfNotPresent";
  }
  json::value* resources = container.if_contains("resources");
  if (!resources || !resources->is_object()) return;
  const json::value* limits = resources->get_object().if_contains("limits");
  if (!limits || !limits->is_object() || limits->get_object().empty()) return;
  const json::object copy = limits->get_object();
  json::value& requests = resources->get_object()["requests"];
  if (requests.is_null()) requests = json::object();
  if (!requests.is_object()) return;
  for (const auto& [name, value] : copy) {  // a limit without a request requests as much
    if (!requests.get_object().contains(name)) requests.get_object()[name] = value;
  }
}

constexpr std::string_view kContainerLists[] = {"initContainers", "containers", "ephemeralContainers"};

void default_pod_spec(json::value& holder) {
  json::value* spec = base::find(holder, "spec");
  if (!spec || !spec->is_object()) return;
  json::object& fields = spec->get_object();
  for (std::string_view list : kContainerLists) {
    json::value* containers = fields.if_contains(list);
    if (!containers || !containers->is_array()) continue;
    for (json::value& container : containers->get_array()) {
      if (container.is_object()) default_container(container.get_object());
    }
  }
  if (json::value* volumes = fields.if_contains("volumes"); volumes && volumes->is_array()) {
    for (json::value& volume : volumes->get_array()) {
      if (volume.is_object() && volume.get_object().size() == 1) volume.get_object()["emptyDir"] = json::object();
    }
  }
  // serviceAccount is the older name of serviceAccountName: both always say the same.
  const json::value* name = fields.if_contains("serviceAccountName");
  const json::value* older = fields.if_contains("serviceAccount");
  if (name && (!older || *older != *name)) {
    const json::value copy = *name;
    fields["serviceAccount"] = copy;
  } else if (!name && older) {
    const json::value copy = *older;
    fields["serviceAccountName"] = copy;
  }
}

// Kubernetes' quality-of-service class, from requests and limits of CPU and memory.
std::string_view qos_class(const json::value& pod) {
  bool any = false, guaranteed = true;
  for (std::string_view list : {"spec.initContainers", "spec.containers"}) {
    for (const json::value& container : base::get_array(pod, list)) {
      for (const char* resource : {"cpu", "memory"}) {
        const json::value* limit = base::find(container, {"resources", "limits", resource});
        const json::value* request = base::find(container, {"resources", "requests", resource});
        any = any || limit || request;
        if (!limit || !same(limit, request)) guaranteed = false;
      }
    }
  }
  return !any ? "BestEffort" : guaranteed ? "Guaranteed" : "Burstable";
}

void default_pod(const json::value* before, json::value& pod) {
  default_pod_spec(pod);
  if (before) return;
  json::value* spec = base::find(pod, "spec");
  if (spec && spec->is_object() && !spec->get_object().contains("serviceAccountName")) {
    spec->get_object()["serviceAccountName"] = "default";
    spec->get_object()["serviceAccount"] = "default";
  }
  base::set(pod, "status", json::object{{"phase", "Pending"}, {"qosClass", qos_class(pod)}});
}

void validate_volumes_of(const json::value& spec, const std::string& path, std::set<std::string>& names,
                         std::vector<Violation>& out) {
  const json::array& volumes = base::get_array(spec, "volumes");
  for (std::size_t i = 0; i < volumes.size(); ++i) {
    names.insert(base::get_string(volumes[i], "name"));
    if (volumes[i].is_object() && volumes[i].get_object().size() > 2) {
      forbid(out, fmt::format("{}.volumes[{}]", path, i), "may not specify more than 1 volume type");
    }
  }
}

void validate_requests(const json::value& container, const std::string& path, std::vector<Violation>& out) {
  for (const auto& [resource, request] : base::get_object(container, "resources.requests")) {
    const json::value* limit = base::find(container, {"resources", "limits", resource});
    if (!limit || !limit->is_string() || !request.is_string()) continue;
    const auto most = base::parse_quantity_milli(limit->get_string());
    const auto least = base::parse_quantity_milli(request.get_string());
    if (most && least && *least > *most) {
      invalid_value(out, fmt::format("{}.resources.requests", path), request,
                    fmt::format("must be less than or equal to {} limit of {}", std::string_view(resource),
                                std::string_view(limit->get_string())));
    }
  }
}

void validate_pod_spec(const json::value& spec, const std::string& path, std::vector<Violation>& out) {
  std::set<std::string> volumes, containers;
  validate_volumes_of(spec, path, volumes, out);
  for (std::string_view list : kContainerLists) {
    const json::array& items = base::get_array(spec, list);
    for (std::size_t i = 0; i < items.size(); ++i) {
      const std::string here = fmt::format("{}.{}[{}]", path, list, i);
      const std::string name = base::get_string(items[i], "name");
      if (!name.empty() && !containers.insert(name).second && list != "ephemeralContainers") {
        out.push_back({here + ".name", "FieldValueDuplicate", fmt::format("Duplicate value: \"{}\"", name)});
      }
      if (base::get_string(items[i], "image").empty()) require(out, here + ".image");
      validate_requests(items[i], here, out);
      const json::array& mounts = base::get_array(items[i], "volumeMounts");
      for (std::size_t m = 0; m < mounts.size(); ++m) {
        const std::string volume = base::get_string(mounts[m], "name");
        if (!volumes.contains(volume)) {
          out.push_back({fmt::format("{}.volumeMounts[{}].name", here, m), "FieldValueNotFound",
                         fmt::format("Not found: \"{}\"", volume)});
        }
      }
    }
  }
}

// A running pod is what it is: images, tolerations and the deadline may change, and an unbound pod may be bound.
void validate_pod_update(const json::value& before, const json::value& after, std::vector<Violation>& out) {
  const json::value* old = at(before, "spec");
  const json::value* now = at(after, "spec");
  if (!old || !now || *old == *now || !old->is_object() || !now->is_object()) return;
  json::value allowed = *old;
  for (const char* field : {"activeDeadlineSeconds", "tolerations", "ephemeralContainers", "schedulingGates"}) {
    if (const json::value* value = now->get_object().if_contains(field)) {
      allowed.get_object()[field] = *value;
    } else {
      base::erase(allowed, field);
    }
  }
  if (base::get_string(*old, "nodeName").empty()) {
    if (const json::value* node = now->get_object().if_contains("nodeName")) allowed.get_object()["nodeName"] = *node;
  }
  for (std::string_view list : {"containers", "initContainers"}) {
    json::value* items = base::find(allowed, list);
    const json::array& wanted = base::get_array(*now, list);
    if (!items || !items->is_array() || items->get_array().size() != wanted.size()) continue;
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      const json::value* image = base::find(wanted[i], "image");
      if (image) base::set(items->get_array()[i], "image", *image);
    }
  }
  if (allowed == *now) return;
  forbid(out, "spec",
         "pod updates may not change fields other than `spec.containers[*].image`, `spec.initContainers[*].image`, "
         "`spec.activeDeadlineSeconds` or `spec.tolerations`");
}

// ---- workloads

void validate_workload(const json::value* before, const json::value& object, std::vector<Violation>& out) {
  const json::value* selector = at(object, "spec.selector");
  const json::value* metadata = at(object, "spec.template.metadata");
  if (selector && selector->is_object()) {
    auto parsed = base::LabelSelector::from_json(*selector);
    if (!parsed) {
      invalid_value(out, "spec.selector", *selector, parsed.error().message);
    } else if (selector->get_object().empty() || parsed->empty()) {
      invalid_value(out, "spec.selector", *selector, "empty selector is invalid for deployment");
    } else if (!parsed->matches(metadata ? base::get_object(*metadata, "labels") : json::object())) {
      const json::value* labels = metadata ? at(*metadata, "labels") : nullptr;
      invalid_value(out, "spec.template.metadata.labels", labels ? *labels : json::value(json::object()),
                    "`selector` does not match template `labels`");
    }
    if (before && !same(at(*before, "spec.selector"), selector)) {
      invalid_value(out, "spec.selector", *selector, "field is immutable");
    }
  }
  const json::value* spec = at(object, "spec.template.spec");
  if (!spec) {
    if (at(object, "spec.template")) require(out, "spec.template.spec");
    return;
  }
  validate_pod_spec(*spec, "spec.template.spec", out);
  const std::string restart = base::get_string(*spec, "restartPolicy", "Always");
  if (restart != "Always") {
    out.push_back({"spec.template.spec.restartPolicy", "FieldValueNotSupported",
                   fmt::format("Unsupported value: \"{}\": supported values: \"Always\"", restart)});
  }
}

void default_workload(json::value& object) {
  if (json::value* pod = base::find(object, "spec.template"); pod && pod->is_object()) default_pod_spec(*pod);
  json::value* strategy = base::find(object, "spec.strategy");
  if (!strategy || base::get_string(*strategy, "type") != "RollingUpdate") return;
  for (const char* field : {"rollingUpdate.maxUnavailable", "rollingUpdate.maxSurge"}) {
    if (!at(*strategy, field)) base::set(*strategy, field, "25%");
  }
}

void validate_strategy(const json::value& object, std::vector<Violation>& out) {
  const json::value* strategy = at(object, "spec.strategy");
  if (!strategy) return;
  if (base::get_string(*strategy, "type") == "Recreate" && at(*strategy, "rollingUpdate")) {
    forbid(out, "spec.strategy.rollingUpdate", "may not be specified when strategy `type` is 'Recreate'");
  }
  const auto zero = [&](const char* field) {
    const json::value* value = at(*strategy, field);
    return value && (*value == 0 || *value == "0%" || *value == "0");
  };
  if (zero("rollingUpdate.maxUnavailable") && zero("rollingUpdate.maxSurge")) {
    invalid_value(out, "spec.strategy.rollingUpdate.maxUnavailable", 0, "may not be 0 when `maxSurge` is 0");
  }
}

// ---- services

void default_service(json::value& object) {
  json::value* spec = base::find(object, "spec");
  if (!spec || !spec->is_object()) return;
  json::object& fields = spec->get_object();
  const std::string type = base::get_string(*spec, "type");
  if (json::value* ports = fields.if_contains("ports"); ports && ports->is_array()) {
    for (json::value& port : ports->get_array()) {
      const json::value* number = at(port, "port");
      if (!number || !port.is_object() || at(port, "targetPort")) continue;
      const json::value copy = *number;
      port.get_object()["targetPort"] = copy;
    }
  }
  if (type == "ExternalName") return;
  if (!fields.contains("internalTrafficPolicy")) fields["internalTrafficPolicy"] = "Cluster";
  if (type != "ClusterIP" && !fields.contains("externalTrafficPolicy")) fields["externalTrafficPolicy"] = "Cluster";
  if (!fields.contains("ipFamilyPolicy")) fields["ipFamilyPolicy"] = "SingleStack";
  if (!fields.contains("ipFamilies")) fields["ipFamilies"] = json::array{"IPv4"};
  const json::value* address = fields.if_contains("clusterIP");
  if (address && address->is_string() && *address != "" && !fields.contains("clusterIPs")) {
    const json::value copy = *address;
    fields["clusterIPs"] = json::array{copy};
  }
}

// Clients that replace a Service send it without the address it was given.
void keep_addresses(const json::value& before, json::value& object) {
  if (base::get_string(object, "spec.type") == "ExternalName") return;
  for (const char* field : {"spec.clusterIP", "spec.clusterIPs"}) {
    const json::value* old = at(before, field);
    const json::value* now = at(object, field);
    if (old && (!now || *now == "")) base::set(object, field, *old);
  }
}

void validate_service(const json::value* before, const json::value& object, std::vector<Violation>& out) {
  if (!at(object, "spec")) return require(out, "spec");
  const json::array& ports = base::get_array(object, "spec.ports");
  const std::string type = base::get_string(object, "spec.type");
  const std::string address = base::get_string(object, "spec.clusterIP");
  if (type == "ExternalName") {
    if (base::get_string(object, "spec.externalName").empty()) require(out, "spec.externalName");
  } else if (ports.empty() && address != "None") {
    require(out, "spec.ports");
  }
  for (std::size_t i = 0; i < ports.size() && ports.size() > 1; ++i) {
    if (base::get_string(ports[i], "name").empty()) require(out, fmt::format("spec.ports[{}].name", i));
  }
  const std::string old = before ? base::get_string(*before, "spec.clusterIP") : "";
  if (!old.empty() && type != "ExternalName" && base::get_string(*before, "spec.type") != "ExternalName" &&
      address != old) {
    invalid_value(out, "spec.clusterIP", json::value(address), "field is immutable");
  }
}

// ---- data

void merge_string_data(json::value& secret) {
  const json::value* plain = at(secret, "stringData");
  if (!plain || !plain->is_object()) return;
  const json::object copy = plain->get_object();
  base::erase(secret, "stringData");
  for (const auto& [key, value] : copy) {
    if (value.is_string()) base::set(secret, {"data", key}, json::value(base::base64(value.get_string())));
  }
}

void validate_data(const json::value* before, const json::value& object, std::vector<Violation>& out) {
  constexpr std::size_t kMax = 1u << 20;
  std::size_t size = 0;
  for (const char* field : {"data", "binaryData"}) {
    for (const auto& [key, value] : base::get_object(object, field)) {
      size += key.size() + (value.is_string() ? value.get_string().size() : 0);
      const bool bad =
          key.empty() || key.size() > 253 || key == "." || key == ".." || std::ranges::any_of(key, [](char c) {
            return !isalnum(static_cast<unsigned char>(c)) && c != '-' && c != '_' && c != '.';
          });
      if (bad) {
        invalid_value(out, fmt::format("{}[{}]", field, std::string_view(key)), json::value(key),
                      "a valid key must consist of alphanumeric characters, '-', '_' or '.', at most 253 of them");
      }
    }
  }
  if (size > kMax)
    out.push_back({"data", "FieldValueTooLong", fmt::format("Too long: may not be more than {} bytes", kMax)});
  if (!before || !base::get_bool(*before, "immutable")) return;
  if (!base::get_bool(object, "immutable")) forbid(out, "immutable", "field is immutable when `immutable` is set");
  for (const char* field : {"data", "binaryData"}) {
    if (!same(at(*before, field), at(object, field))) forbid(out, field, "field is immutable when `immutable` is set");
  }
}

void default_binding(json::value& binding) {
  json::value* subjects = base::find(binding, "subjects");
  if (!subjects || !subjects->is_array()) return;
  for (json::value& subject : subjects->get_array()) {
    if (!subject.is_object() || subject.get_object().contains("apiGroup")) continue;
    if (base::get_string(subject, "kind") != "ServiceAccount")
      subject.get_object()["apiGroup"] = "rbac.authorization.k8s.io";
  }
}

void validate_binding(const json::value& binding, std::vector<Violation>& out) {
  const json::array& subjects = base::get_array(binding, "subjects");
  for (std::size_t i = 0; i < subjects.size(); ++i) {
    if (base::get_string(subjects[i], "kind") == "ServiceAccount" &&
        base::get_string(subjects[i], "namespace").empty()) {
      require(out, fmt::format("subjects[{}].namespace", i));
    }
  }
}

void default_namespace(const json::value* before, json::value& ns) {
  if (!before) {
    base::set(ns, "spec.finalizers", json::array{"kubernetes"});
    base::set(ns, "status.phase", "Active");
  }
  base::set(ns, {"metadata", "labels", "kubernetes.io/metadata.name"},
            json::value(base::get_string(ns, "metadata.name")));
}

void validate_immutable_at(const Schema& schema, const json::value& before, const json::value& after,
                           const FieldPath& path, std::vector<Violation>& out) {
  if (schema.properties.empty() || !before.is_object() || !after.is_object()) return;
  for (const auto& [name, child] : schema.properties) {
    const json::value* old = before.get_object().if_contains(name);
    if (!old) continue;
    const json::value* now = after.get_object().if_contains(name);
    if (child->immutable) {
      if (!now || *now != *old)
        invalid_value(out, path.field(name).to_string(), now ? *now : json::value(), "field is immutable");
    } else if (now) {
      validate_immutable_at(*child, *old, *now, path.field(name), out);
    }
  }
}

bool is_core(const Type& type, std::string_view kind) { return type.group.empty() && type.kind == kind; }
bool is_workload(const Type& type) { return type.group == "apps"; }
bool is_binding(const Type& type) {
  return type.group == "rbac.authorization.k8s.io" && type.kind.ends_with("Binding");
}

}  // namespace

void apply_kind_defaults(const Type& type, const json::value* before, json::value& object) {
  if (is_core(type, "Pod")) return default_pod(before, object);
  if (is_workload(type)) return default_workload(object);
  if (is_core(type, "Service")) {
    if (before) keep_addresses(*before, object);
    return default_service(object);
  }
  if (is_core(type, "Secret")) return merge_string_data(object);
  if (is_core(type, "Namespace")) return default_namespace(before, object);
  if (is_binding(type)) return default_binding(object);
}

void validate_kind(const Type& type, const json::value* before, const json::value& object,
                   std::vector<Violation>& out) {
  if (is_core(type, "Pod")) {
    if (!before) {
      const json::value* spec = at(object, "spec");
      return spec ? validate_pod_spec(*spec, "spec", out) : require(out, "spec");
    }
    return validate_pod_update(*before, object, out);
  }
  if (is_workload(type)) {
    if (!at(object, "spec")) return require(out, "spec");
    validate_workload(before, object, out);
    return validate_strategy(object, out);
  }
  if (is_core(type, "Service")) return validate_service(before, object, out);
  if (is_core(type, "ConfigMap")) return validate_data(before, object, out);
  if (is_core(type, "Secret")) {
    if (before && !same(at(*before, "type"), at(object, "type"))) {
      const json::value* now = at(object, "type");
      invalid_value(out, "type", now ? *now : json::value(), "field is immutable");
    }
    return validate_data(before, object, out);
  }
  if (is_binding(type)) return validate_binding(object, out);
}

void validate_immutable(const Schema& schema, const json::value& before, const json::value& after,
                        std::vector<Violation>& out) {
  validate_immutable_at(schema, before, after, FieldPath{}, out);
}

}  // namespace mainstay::api
