#include "capabilities/observe/object_metrics.h"

#include <map>

#include "base/clock.h"
#include "base/json.h"
#include "base/quantity.h"
#include "capabilities/observe/exposition.h"
#include "capabilities/observe/scope.h"

namespace mainstay::observe {
namespace {
namespace json = boost::json;

double seconds_of(const std::string& rfc3339) {
  const auto time = base::parse_rfc3339(rfc3339);
  if (!time) return 0;
  return std::chrono::duration<double>(time->time_since_epoch()).count();
}

// What every sample about a pod begins with.
struct PodFacts {
  client::ObjectPtr object;
  std::string ns, team, name, workload;
  Labels labels() const { return {{"namespace", ns}, {"team", team}, {"pod", name}, {"workload", workload}}; }
};

Labels with(Labels labels, std::initializer_list<std::pair<std::string_view, std::string_view>> more) {
  labels.insert(labels.end(), more);
  return labels;
}

template <class F>
void each_container(const std::vector<PodFacts>& pods, F f) {
  for (const PodFacts& pod : pods) {
    for (const auto& status : base::get_array(*pod.object, "status.containerStatuses"))
      f(pod, base::get_string(status, "name"), status);
  }
}

void pod_state(Exposition& out, const std::vector<PodFacts>& pods) {
  out.family("kube_pod_info", "gauge", "Where a pod runs and who made it");
  for (const PodFacts& pod : pods) {
    const auto& owners = base::get_array(*pod.object, "metadata.ownerReferences");
    const std::string node = base::get_string(*pod.object, "spec.nodeName"),
                      ip = base::get_string(*pod.object, "status.podIP"),
                      uid = base::get_string(*pod.object, "metadata.uid");
    const std::string kind = owners.empty() ? "" : base::get_string(owners[0], "kind"),
                      owner = owners.empty() ? "" : base::get_string(owners[0], "name");
    out.sample(
        with(pod.labels(),
             {{"uid", uid}, {"node", node}, {"pod_ip", ip}, {"created_by_kind", kind}, {"created_by_name", owner}}),
        1);
  }
  out.family("kube_pod_status_phase", "gauge", "The pod's present phase is 1");
  for (const PodFacts& pod : pods) {
    const std::string phase = base::get_string(*pod.object, "status.phase", "Pending");
    for (const char* p : {"Pending", "Running", "Succeeded", "Failed", "Unknown"})
      out.sample(with(pod.labels(), {{"phase", p}}), phase == p ? 1 : 0);
  }
  out.family("kube_pod_status_ready", "gauge", "Whether the pod is ready to serve");
  for (const PodFacts& pod : pods) {
    bool ready = false;
    for (const auto& c : base::get_array(*pod.object, "status.conditions"))
      ready = ready || (base::get_string(c, "type") == "Ready" && base::get_string(c, "status") == "True");
    out.sample(with(pod.labels(), {{"condition", "true"}}), ready ? 1 : 0);
  }
  out.family("kube_pod_start_time", "gauge", "When the pod was taken up, in seconds since 1970");
  for (const PodFacts& pod : pods) {
    if (const double at = seconds_of(base::get_string(*pod.object, "status.startTime")); at > 0)
      out.sample(pod.labels(), at);
  }
}

void container_state(Exposition& out, const std::vector<PodFacts>& pods) {
  out.family("kube_pod_container_status_restarts_total", "counter", "Restarts of the container");
  each_container(pods, [&](const PodFacts& pod, const std::string& name, const json::value& s) {
    out.sample(with(pod.labels(), {{"container", name}}), static_cast<double>(base::get_int(s, "restartCount")));
  });
  out.family("kube_pod_container_status_ready", "gauge", "Whether the container is ready");
  each_container(pods, [&](const PodFacts& pod, const std::string& name, const json::value& s) {
    out.sample(with(pod.labels(), {{"container", name}}), base::get_bool(s, "ready") ? 1 : 0);
  });
  out.family("kube_pod_container_status_running", "gauge", "Whether the container runs");
  each_container(pods, [&](const PodFacts& pod, const std::string& name, const json::value& s) {
    out.sample(with(pod.labels(), {{"container", name}}), base::find(s, "state.running") ? 1 : 0);
  });
  const std::tuple<const char*, const char*, const char*> reasons[] = {
      {"kube_pod_container_status_waiting_reason", "state.waiting.reason", "Why the container waits"},
      {"kube_pod_container_status_terminated_reason", "state.terminated.reason", "Why the container has ended"},
      {"kube_pod_container_status_last_terminated_reason", "lastState.terminated.reason",
       "Why the container ended last"}};
  for (const auto& [family, path, help] : reasons) {
    out.family(family, "gauge", help);
    each_container(pods, [&, path = path](const PodFacts& pod, const std::string& name, const json::value& s) {
      const std::string reason = base::get_string(s, path);
      if (!reason.empty()) out.sample(with(pod.labels(), {{"container", name}, {"reason", reason}}), 1);
    });
  }
}

void container_resources(Exposition& out, const std::vector<PodFacts>& pods) {
  const std::pair<const char*, const char*> families[] = {
      {"kube_pod_container_resource_requests", "resources.requests"},
      {"kube_pod_container_resource_limits", "resources.limits"}};
  for (const auto& [family, path] : families) {
    out.family(family, "gauge", "What the container's resources say: cores and bytes");
    for (const PodFacts& pod : pods) {
      for (const auto& container : base::get_array(*pod.object, "spec.containers")) {
        const std::string name = base::get_string(container, "name");
        for (const auto& [resource, amount] : base::get_object(container, path)) {
          if (!amount.is_string()) continue;
          const auto quantity = base::parse_quantity_milli(amount.as_string());
          if (!quantity) continue;
          out.sample(with(pod.labels(),
                          {{"container", name}, {"resource", resource}, {"unit", resource == "cpu" ? "core" : "byte"}}),
                     static_cast<double>(*quantity) / 1000);
        }
      }
    }
  }
}

void deployments(Exposition& out, const ObjectCaches& caches) {
  const std::tuple<const char*, const char*, const char*> families[] = {
      {"kube_deployment_spec_replicas", "spec.replicas", "Pods wanted"},
      {"kube_deployment_status_replicas", "status.replicas", "Pods there are"},
      {"kube_deployment_status_replicas_available", "status.availableReplicas", "Pods that serve"},
      {"kube_deployment_status_replicas_ready", "status.readyReplicas", "Pods that are ready"},
      {"kube_deployment_status_replicas_unavailable", "status.unavailableReplicas", "Pods that do not serve"},
      {"kube_deployment_status_replicas_updated", "status.updatedReplicas", "Pods of the newest template"},
      {"kube_deployment_metadata_generation", "metadata.generation", "Counts changes to the spec"},
      {"kube_deployment_status_observed_generation", "status.observedGeneration", "The last of them acted on"}};
  const auto all = caches.deployments->list();
  for (const auto& [family, path, help] : families) {
    out.family(family, "gauge", help);
    for (const client::ObjectPtr& d : all) {
      const std::string ns = base::get_string(*d, "metadata.namespace"), name = base::get_string(*d, "metadata.name"),
                        team = team_of(*caches.namespaces, ns);
      out.sample({{"namespace", ns}, {"team", team}, {"deployment", name}, {"workload", name}},
                 static_cast<double>(base::get_int(*d, path)));
    }
  }
}

void nodes(Exposition& out, const ObjectCaches& caches) {
  out.family("kube_node_info", "gauge", "The node's software");
  for (const client::ObjectPtr& n : caches.nodes->list()) {
    const std::string name = base::get_string(*n, "metadata.name"),
                      kernel = base::get_string(*n, "status.nodeInfo.kernelVersion"),
                      runtime = base::get_string(*n, "status.nodeInfo.containerRuntimeVersion");
    out.sample({{"node", name}, {"kernel_version", kernel}, {"container_runtime_version", runtime}}, 1);
  }
  out.family("kube_node_status_condition", "gauge", "A condition's present status is 1");
  for (const client::ObjectPtr& n : caches.nodes->list()) {
    const std::string name = base::get_string(*n, "metadata.name");
    for (const auto& c : base::get_array(*n, "status.conditions")) {
      const std::string type = base::get_string(c, "type"), status = base::get_string(c, "status");
      for (const auto& [label, value] : {std::pair{"true", "True"}, {"false", "False"}, {"unknown", "Unknown"}})
        out.sample({{"node", name}, {"condition", type}, {"status", label}}, status == value ? 1 : 0);
    }
  }
}

// Runs by repository: how many in each phase, and how long the newest finished one took.
void runs(Exposition& out, const ObjectCaches& caches) {
  struct Repository {
    std::map<std::string, int> phases{
        {"Pending", 0}, {"Running", 0}, {"Succeeded", 0}, {"Failed", 0}, {"Cancelled", 0}};
    double finished = 0, took = 0;
    bool succeeded = false;
  };
  std::map<std::pair<std::string, std::string>, Repository> all;
  for (const client::ObjectPtr& r : caches.runs->list()) {
    Repository& repository = all[{base::get_string(*r, "metadata.namespace"), base::get_string(*r, "spec.repository")}];
    const std::string phase = base::get_string(*r, "status.phase", "Pending");
    ++repository.phases[phase];
    const double started = seconds_of(base::get_string(*r, "status.startedAt")),
                 finished = seconds_of(base::get_string(*r, "status.finishedAt"));
    if (finished <= repository.finished || started == 0) continue;
    repository.finished = finished;
    repository.took = finished - started;
    repository.succeeded = phase == "Succeeded";
  }
  const auto family = [&](const char* name, const char* help, auto value) {
    out.family(name, "gauge", help);
    for (const auto& [key, repository] : all) {
      if (repository.finished == 0) continue;
      const std::string team = team_of(*caches.namespaces, key.first);
      out.sample({{"namespace", key.first}, {"team", team}, {"repository", key.second}}, value(repository));
    }
  };
  out.family("mainstay_workflowruns", "gauge", "Workflow runs kept, by phase");
  for (const auto& [key, repository] : all) {
    const std::string team = team_of(*caches.namespaces, key.first);
    for (const auto& [phase, count] : repository.phases)
      out.sample({{"namespace", key.first}, {"team", team}, {"repository", key.second}, {"phase", phase}}, count);
  }
  family("mainstay_workflowrun_last_duration_seconds", "How long the last finished run took",
         [](const Repository& r) { return r.took; });
  family("mainstay_workflowrun_last_finished_timestamp_seconds", "When the last finished run ended",
         [](const Repository& r) { return r.finished; });
  family("mainstay_workflowrun_last_succeeded", "Whether the last finished run succeeded",
         [](const Repository& r) { return r.succeeded ? 1.0 : 0.0; });
}

void platform_state(Exposition& out, const ObjectCaches& caches) {
  out.family("kube_namespace_labels", "gauge", "Labels of a namespace");
  for (const client::ObjectPtr& n : caches.namespaces->list()) {
    const std::string name = base::get_string(*n, "metadata.name"), team = base::label(*n, "mainstay.dev/team"),
                      environment = base::label(*n, "mainstay.dev/environment");
    out.sample({{"namespace", name},
                {"team", team},
                {"label_mainstay_dev_team", team},
                {"label_mainstay_dev_environment", environment}},
               1);
  }
  out.family("mainstay_capability_healthy", "gauge", "Whether a capability of the platform is well");
  for (const client::ObjectPtr& c : caches.capabilities->list()) {
    if (base::get_string(*c, "status.provider", "none") == "none") continue;
    const std::string name = base::get_string(*c, "metadata.name");
    out.sample({{"capability", name}}, base::get_bool(*c, "status.healthy") ? 1 : 0);
  }
  if (caches.claims) {
    out.family("mainstay_claim_ready", "gauge", "Whether a ResourceClaim can be used");
    for (const client::ObjectPtr& c : caches.claims->list()) {
      const std::string ns = base::get_string(*c, "metadata.namespace"), team = team_of(*caches.namespaces, ns),
                        name = base::get_string(*c, "metadata.name"), type = base::get_string(*c, "spec.type"),
                        workload = base::get_string(*c, "spec.workload");
      out.sample({{"namespace", ns}, {"team", team}, {"claim", name}, {"type", type}, {"workload", workload}},
                 base::get_string(*c, "status.phase") == "Ready" ? 1 : 0);
    }
  }
  if (!caches.address_pools) return;
  const std::pair<const char*, const char*> families[] = {
      {"mainstay_address_pool_size", "status.size"},
      {"mainstay_address_pool_used", "status.used"},
      {"mainstay_address_pool_forecast_months", "status.forecast.monthsLeft"}};
  for (const auto& [family, path] : families) {
    out.family(family, "gauge", "Addresses of a pool");
    for (const client::ObjectPtr& p : caches.address_pools->list()) {
      const std::string name = base::get_string(*p, "metadata.name");
      const json::value* value = base::find(*p, path);
      if (value != nullptr && value->is_number()) out.sample({{"pool", name}}, value->to_number<double>());
    }
  }
}

}  // namespace

std::string object_metrics(const ObjectCaches& caches) {
  std::vector<PodFacts> pods;
  for (client::ObjectPtr& object : caches.pods->list()) {
    PodFacts pod;
    pod.ns = base::get_string(*object, "metadata.namespace");
    pod.team = team_of(*caches.namespaces, pod.ns);
    pod.name = base::get_string(*object, "metadata.name");
    pod.workload = workload_of(*object);
    pod.object = std::move(object);
    pods.push_back(std::move(pod));
  }
  Exposition out;
  pod_state(out, pods);
  container_state(out, pods);
  container_resources(out, pods);
  deployments(out, caches);
  nodes(out, caches);
  runs(out, caches);
  platform_state(out, caches);
  return out.take();
}

}  // namespace mainstay::observe
