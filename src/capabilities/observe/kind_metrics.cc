#include "capabilities/observe/kind_metrics.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/quantity.h"
#include "capabilities/observe/exposition.h"
#include "capabilities/observe/scope.h"

namespace mainstay::observe {
namespace {
namespace json = boost::json;

// An object, and the labels each of its samples begins with.
struct Subject {
  const json::value& object;
  Labels labels;
  std::string text(std::string_view path) const { return base::get_string(object, path); }
};

void emit(Exposition& out, const Subject& s, std::initializer_list<std::pair<std::string_view, std::string_view>> more,
          double value) {
  Labels labels = s.labels;
  labels.insert(labels.end(), more);
  out.sample(labels, value);
}

void created(Exposition& out, const Subject& s) {
  const auto time = base::parse_rfc3339(s.text("metadata.creationTimestamp"));
  if (time) emit(out, s, {}, std::chrono::duration<double>(time->time_since_epoch()).count());
}

void number(Exposition& out, const Subject& s, std::string_view path) {
  emit(out, s, {}, static_cast<double>(base::get_int(s.object, path)));
}

void amount(Exposition& out, const Subject& s, std::string_view text,
            std::initializer_list<std::pair<std::string_view, std::string_view>> more) {
  if (const auto quantity = base::parse_quantity_milli(text)) emit(out, s, more, static_cast<double>(*quantity) / 1000);
}

void volume_claim_phase(Exposition& out, const Subject& s) {
  const std::string phase = s.text("status.phase");
  for (const char* p : {"Pending", "Bound", "Lost"}) emit(out, s, {{"phase", p}}, phase == p ? 1 : 0);
}

void quota(Exposition& out, const Subject& s) {
  for (const char* type : {"hard", "used"}) {
    for (const auto& [resource, value] : base::get_object(s.object, std::string("status.") + type))
      if (value.is_string()) amount(out, s, value.as_string(), {{"resource", resource}, {"type", type}});
  }
}

void ingress_paths(Exposition& out, const Subject& s) {
  for (const auto& rule : base::get_array(s.object, "spec.rules")) {
    const std::string host = base::get_string(rule, "host");
    for (const auto& path : base::get_array(rule, "http.paths")) {
      const std::string at = base::get_string(path, "path"), service = base::get_string(path, "backend.service.name");
      emit(out, s, {{"host", host}, {"path", at}, {"service_name", service}}, 1);
    }
  }
}

void hostnames(Exposition& out, const Subject& s) {
  for (const auto& host : base::get_array(s.object, "spec.hostnames"))
    if (host.is_string()) emit(out, s, {{"hostname", host.as_string()}}, 1);
}

void parents(Exposition& out, const Subject& s) {
  for (const auto& parent : base::get_array(s.object, "spec.parentRefs")) {
    const std::string kind = base::get_string(parent, "kind", "Gateway"), name = base::get_string(parent, "name"),
                      ns = base::get_string(parent, "namespace", s.text("metadata.namespace")),
                      section = base::get_string(parent, "sectionName");
    emit(out, s,
         {{"parent_kind", kind}, {"parent_name", name}, {"parent_namespace", ns}, {"parent_section_name", section}}, 1);
  }
}

void parent_states(Exposition& out, const Subject& s) {
  for (const auto& parent : base::get_array(s.object, "status.parents")) {
    const std::string name = base::get_string(parent, "parentRef.name"),
                      section = base::get_string(parent, "parentRef.sectionName");
    for (const auto& c : base::get_array(parent, "conditions")) {
      const std::string type = base::get_string(c, "type");
      emit(out, s, {{"parent_name", name}, {"parent_section_name", section}, {"type", type}},
           base::get_string(c, "status") == "True" ? 1 : 0);
    }
  }
}

void conditions(Exposition& out, const Subject& s) {
  for (const auto& c : base::get_array(s.object, "status.conditions")) {
    const std::string type = base::get_string(c, "type");
    emit(out, s, {{"type", type}}, base::get_string(c, "status") == "True" ? 1 : 0);
  }
}

void release_states(Exposition& out, const Subject& s) {
  const std::string workload = s.text("spec.workload");
  for (const auto& e : base::get_array(s.object, "status.environments")) {
    const std::string name = base::get_string(e, "name"), state = base::get_string(e, "state");
    emit(out, s, {{"workload", workload}, {"environment", name}, {"state", state}}, 1);
  }
}

using Each = void (*)(Exposition&, const Subject&);
struct MetricFamily {
  const char *name, *help;
  Each each;
};

}  // namespace

struct MetricKind {
  client::Resource resource;
  const char* label;  // which holds the object's name
  std::vector<MetricFamily> families;
};

namespace {

#define MAINSTAY_NUMBER(path) [](Exposition& out, const Subject& s) { number(out, s, path); }

std::vector<MetricKind> core_kinds() {
  return {
      {{"", "v1", "persistentvolumeclaims", true, "PersistentVolumeClaim"},
       "persistentvolumeclaim",
       {{"kube_persistentvolumeclaim_info", "Of a PersistentVolumeClaim",
         [](Exposition& out, const Subject& s) {
           const std::string storage = s.text("spec.storageClassName"), volume = s.text("spec.volumeName");
           emit(out, s, {{"storageclass", storage}, {"volumename", volume}}, 1);
         }},
        {"kube_persistentvolumeclaim_status_phase", "The claim's present phase is 1", volume_claim_phase},
        {"kube_persistentvolumeclaim_resource_requests_storage_bytes", "What was asked for",
         [](Exposition& out, const Subject& s) { amount(out, s, s.text("spec.resources.requests.storage"), {}); }}}},
      {{"", "v1", "services", true, "Service"},
       "service",
       {{"kube_service_info", "Of a Service",
         [](Exposition& out, const Subject& s) {
           const std::string ip = s.text("spec.clusterIP"), outside = s.text("spec.externalName");
           emit(out, s, {{"cluster_ip", ip}, {"external_name", outside}}, 1);
         }},
        {"kube_service_spec_type", "Type of a Service",
         [](Exposition& out, const Subject& s) {
           const std::string type = base::get_string(s.object, "spec.type", "ClusterIP");
           emit(out, s, {{"type", type}}, 1);
         }},
        {"kube_service_created", "When it was made, in seconds since 1970", created}}},
      {{"", "v1", "resourcequotas", true, "ResourceQuota"},
       "resourcequota",
       {{"kube_resourcequota", "What a ResourceQuota grants and what is used of it", quota}}},
      {{"apps", "v1", "replicasets", true, "ReplicaSet"},
       "replicaset",
       {{"kube_replicaset_spec_replicas", "Pods wanted", MAINSTAY_NUMBER("spec.replicas")},
        {"kube_replicaset_status_replicas", "Pods there are", MAINSTAY_NUMBER("status.replicas")},
        {"kube_replicaset_status_ready_replicas", "Pods that are ready", MAINSTAY_NUMBER("status.readyReplicas")}}}};
}

std::vector<MetricKind> network_kinds() {
  return {{{"networking.k8s.io", "v1", "ingresses", true, "Ingress"},
           "ingress",
           {{"kube_ingress_info", "Of an Ingress",
             [](Exposition& out, const Subject& s) {
               const std::string name = s.text("spec.ingressClassName");
               emit(out, s, {{"ingressclass", name}}, 1);
             }},
            {"kube_ingress_path", "Where a path of an Ingress leads", ingress_paths}}},
          {{"networking.k8s.io", "v1", "networkpolicies", true, "NetworkPolicy"},
           "networkpolicy",
           {{"kube_networkpolicy_created", "When it was made, in seconds since 1970", created}}},
          {{"gateway.networking.k8s.io", "v1", "gateways", true, "Gateway"},
           "name",
           {{"gatewayapi_gateway_info", "Of a Gateway",
             [](Exposition& out, const Subject& s) {
               const std::string name = s.text("spec.gatewayClassName");
               emit(out, s, {{"gatewayclass_name", name}}, 1);
             }},
            {"gatewayapi_gateway_status", "Conditions of a Gateway", conditions}}},
          {{"gateway.networking.k8s.io", "v1", "httproutes", true, "HTTPRoute"},
           "name",
           {{"gatewayapi_httproute_created", "When it was made, in seconds since 1970", created},
            {"gatewayapi_httproute_hostname_info", "A host name of an HTTPRoute", hostnames},
            {"gatewayapi_httproute_parent_info", "What an HTTPRoute is attached to", parents},
            {"gatewayapi_httproute_status_parent_info", "What its parents say of it", parent_states}}}};
}

std::vector<MetricKind> platform_kinds() {
  return {{{"mainstay.dev", "v1", "resourceclaims", true, "ResourceClaim"},
           "claim",
           {{"mainstay_claim_info", "Of a ResourceClaim",
             [](Exposition& out, const Subject& s) {
               const std::string type = s.text("spec.type"), driver = s.text("status.class"),
                                 workload = s.text("spec.workload"), phase = s.text("status.phase");
               emit(out, s, {{"type", type}, {"class", driver}, {"workload", workload}, {"phase", phase}}, 1);
             }}}},
          {{"mainstay.dev", "v1", "environments", true, "Environment"},
           "environment",
           {{"mainstay_environment_info", "Of an Environment",
             [](Exposition& out, const Subject& s) {
               const std::string target = s.text("status.namespace");
               emit(out, s, {{"target_namespace", target}}, 1);
             }},
            {"mainstay_environment_order", "Its place on the way to production", MAINSTAY_NUMBER("spec.order")},
            {"mainstay_environment_approvals", "Approvals a release needs", MAINSTAY_NUMBER("spec.approvals")}}},
          {{"mainstay.dev", "v1", "releases", true, "Release"},
           "release",
           {{"mainstay_release_created", "When it was made, in seconds since 1970", created},
            {"mainstay_release_state", "The release's present state in each environment is 1", release_states}}}};
}

const std::vector<MetricKind>& kinds() {
  static const std::vector<MetricKind> all = [] {
    std::vector<MetricKind> sum = core_kinds();
    for (const auto& part : {network_kinds(), platform_kinds()}) sum.insert(sum.end(), part.begin(), part.end());
    return sum;
  }();
  return all;
}
#undef MAINSTAY_NUMBER

}  // namespace

KindMetrics::KindMetrics(const Open& open) {
  for (const MetricKind& kind : kinds()) {
    if (auto cache = open(kind.resource)) kinds_.emplace_back(&kind, std::move(cache));
  }
}

std::string KindMetrics::exposition(const client::Cache& namespaces) const {
  Exposition out;
  for (const auto& [kind, cache] : kinds_) {
    const auto objects = cache->list();
    for (const MetricFamily& family : kind->families) {
      out.family(family.name, "gauge", family.help);
      for (const client::ObjectPtr& object : objects) {
        const std::string ns = base::get_string(*object, "metadata.namespace"),
                          name = base::get_string(*object, "metadata.name"), team = team_of(namespaces, ns);
        family.each(out, {*object, {{"namespace", ns}, {"team", team}, {kind->label, name}}});
      }
    }
  }
  return out.take();
}

}  // namespace mainstay::observe
