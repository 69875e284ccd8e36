#include "capabilities/compute/controllers/pods.h"

#include <algorithm>
#include <charconv>
#include <limits>
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

std::string request_text(const json::value& container, std::string_view resource) {
  const json::value* v = base::find(container, {"resources", "requests", resource});
  if (v == nullptr) return "0";
  return v->is_string() ? std::string(v->as_string()) : base::to_json(*v);
}

Resources container_requests(const json::value& container) {
  Resources out;
  // Admission has checked the syntax: what does not parse counts as nothing asked.
  out.cpu_milli = base::parse_quantity_milli(request_text(container, "cpu")).value_or(0);
  out.memory_bytes = base::parse_quantity(request_text(container, "memory")).value_or(0);
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
    sum.cpu_milli = add_requests(sum.cpu_milli, r.cpu_milli);
    sum.memory_bytes = add_requests(sum.memory_bytes, r.memory_bytes);
  }
  for (const json::value& container : base::get_array(pod, "spec.initContainers")) {
    const Resources r = container_requests(container);
    sum.cpu_milli = std::max(sum.cpu_milli, r.cpu_milli);
    sum.memory_bytes = std::max(sum.memory_bytes, r.memory_bytes);
  }
  return sum;
}

std::int64_t add_requests(std::int64_t a, std::int64_t b) {
  std::int64_t out = 0;
  return __builtin_add_overflow(a, b, &out) ? std::numeric_limits<std::int64_t>::max() : out;
}

std::int64_t pod_request(const json::value& pod, std::string_view resource) {
  std::int64_t sum = 0;
  for (const json::value& container : base::get_array(pod, "spec.containers"))
    sum = add_requests(sum, base::parse_quantity(request_text(container, resource)).value_or(0));
  for (const json::value& container : base::get_array(pod, "spec.initContainers"))
    sum = std::max(sum, base::parse_quantity(request_text(container, resource)).value_or(0));
  return sum;
}

std::set<std::string> further_requests(const json::value& pod) {
  std::set<std::string> out;
  for (const char* list : {"spec.containers", "spec.initContainers"}) {
    for (const json::value& container : base::get_array(pod, list)) {
      for (const auto& member : base::get_object(container, "resources.requests")) out.emplace(member.key());
    }
  }
  out.erase("cpu");
  out.erase("memory");
  return out;
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
