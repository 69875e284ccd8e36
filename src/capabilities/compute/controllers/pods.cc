#include "capabilities/compute/controllers/pods.h"

#include <charconv>
#include <tuple>

#include "base/quantity.h"
#include "reconcile/controller.h"

namespace mainstay::compute {
namespace {

base::SystemTime time_at(const json::value& object, std::string_view path) {
  auto parsed = base::parse_rfc3339(base::get_string(object, path));
  return parsed ? *parsed : base::SystemTime{};
}

std::int64_t deletion_cost(const json::value& pod) {
  const std::string text = base::annotation(pod, "controller.kubernetes.io/pod-deletion-cost");
  std::int64_t cost = 0;
  std::from_chars(text.data(), text.data() + text.size(), cost);
  return cost;
}

Resources container_requests(const json::value& container) {
  Resources out;
  const json::object& requests = base::get_object(container, "resources.requests");
  const auto read = [&requests](std::string_view key) -> std::string {
    const json::value* v = requests.if_contains(key);
    if (v == nullptr) return "0";
    return v->is_string() ? std::string(v->as_string()) : base::to_json(*v);
  };
  // Admission has checked the syntax: what does not parse counts as nothing asked.
  out.cpu_milli = base::parse_quantity_milli(read("cpu")).value_or(0);
  out.memory_bytes = base::parse_quantity(read("memory")).value_or(0);
  return out;
}

}  // namespace

base::SystemTime created_at(const json::value& object) { return time_at(object, "metadata.creationTimestamp"); }

bool pod_finished(const json::value& pod) {
  const std::string phase = base::get_string(pod, "status.phase");
  return phase == "Succeeded" || phase == "Failed";
}

bool being_deleted(const json::value& object) {
  return !base::get_string(object, "metadata.deletionTimestamp").empty();
}

bool pod_active(const json::value& pod) { return !pod_finished(pod) && !being_deleted(pod); }

bool pod_ready(const json::value& pod) { return reconcile::condition_true(pod, "Ready"); }

std::optional<base::SystemTime> pod_available_at(const json::value& pod, std::int64_t min_ready_seconds) {
  const json::value* ready = reconcile::find_condition(pod, "Ready");
  if (ready == nullptr || base::get_string(*ready, "status") != "True") return std::nullopt;
  return time_at(*ready, "lastTransitionTime") + std::chrono::seconds(min_ready_seconds);
}

bool dies_before(const json::value& a, const json::value& b) {
  const auto rank = [](const json::value& pod) {
    const std::string phase = base::get_string(pod, "status.phase");
    const int phase_rank = phase == "Running" ? 2 : phase == "Unknown" ? 1 : 0;
    // Older is worth more: negated, so that the younger sorts first.
    return std::tuple(!base::get_string(pod, "spec.nodeName").empty(), phase_rank, pod_ready(pod), deletion_cost(pod),
                      -created_at(pod).time_since_epoch().count(), base::get_string(pod, "metadata.name"));
  };
  return rank(a) < rank(b);
}

Resources pod_requests(const json::value& pod) {
  Resources sum;
  for (const json::value& container : base::get_array(pod, "spec.containers")) {
    const Resources r = container_requests(container);
    sum.cpu_milli += r.cpu_milli;
    sum.memory_bytes += r.memory_bytes;
  }
  for (const json::value& container : base::get_array(pod, "spec.initContainers")) {
    const Resources r = container_requests(container);
    sum.cpu_milli = std::max(sum.cpu_milli, r.cpu_milli);
    sum.memory_bytes = std::max(sum.memory_bytes, r.memory_bytes);
  }
  return sum;
}

json::value pod_from_template(const json::value& owner, const json::value& pod_template) {
  json::object metadata;
  metadata["generateName"] = base::get_string(owner, "metadata.name") + "-";
  metadata["namespace"] = base::get_string(owner, "metadata.namespace");
  for (const char* copied : {"labels", "annotations", "finalizers"}) {
    if (const json::value* v = base::find(pod_template, std::string("metadata.") + copied);
        v != nullptr && !v->is_null()) {
      metadata[copied] = *v;
    }
  }
  metadata["ownerReferences"] = json::array{reconcile::owner_reference(owner)};
  const json::value* spec = base::find(pod_template, "spec");
  return json::object{{"apiVersion", "v1"},
                      {"kind", "Pod"},
                      {"metadata", std::move(metadata)},
                      {"spec", spec != nullptr ? *spec : json::value(json::object{})}};
}

}  // namespace mainstay::compute
