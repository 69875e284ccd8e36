#include "capabilities/compute/controllers/scheduler.h"

#include <algorithm>
#include <charconv>
#include <map>

#include "base/quantity.h"
#include "base/status.h"
#include "capabilities/compute/pod/pod_spec.h"

namespace mainstay::compute {
namespace {

using client::ObjectPtr;
using client::resources::kNodes;
using client::resources::kPods;

std::string name_of(const json::value& object) { return base::get_string(object, "metadata.name"); }
std::string ns_of(const json::value& object) { return base::get_string(object, "metadata.namespace"); }

std::string allocatable(const json::value& node, std::string_view what) {
  const json::value* v = base::find(node, {"status", "allocatable", what});
  if (v == nullptr) return "";
  return v->is_string() ? std::string(v->as_string()) : base::to_json(*v);
}

bool tolerates(const json::value& pod, const json::value& taint) {
  const std::string key = base::get_string(taint, "key"), effect = base::get_string(taint, "effect");
  for (const json::value& toleration : base::get_array(pod, "spec.tolerations")) {
    const std::string tolerated_effect = base::get_string(toleration, "effect"),
                      tolerated_key = base::get_string(toleration, "key");
    if (!tolerated_effect.empty() && tolerated_effect != effect) continue;
    const bool exists = base::get_string(toleration, "operator", "Equal") == "Exists";
    if (tolerated_key.empty() && exists) return true;
    if (tolerated_key == key && (exists || base::get_string(toleration, "value") == base::get_string(taint, "value")))
      return true;
  }
  return false;
}

std::optional<std::int64_t> whole(std::string_view text) {
  std::int64_t out = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size() ? std::optional(out) : std::nullopt;
}

// One requirement of a node selector term on the value a node has ("" in `value` and not `there`: it has none).
bool fulfils(const json::value& requirement, bool there, const std::string& value) {
  const std::string how = base::get_string(requirement, "operator");
  const std::vector<std::string> wanted = string_list(requirement, "values");
  const bool listed = there && std::ranges::find(wanted, value) != wanted.end();
  if (how == "In") return listed;
  if (how == "NotIn") return !listed;
  if (how == "Exists") return there;
  if (how == "DoesNotExist") return !there;
  const auto have = whole(value), bound = wanted.size() == 1 ? whole(wanted[0]) : std::nullopt;
  if (!there || !have || !bound) return false;
  return how == "Gt" ? *have > *bound : how == "Lt" && *have < *bound;
}

// A term without requirements matches nothing.
bool term_matches(const json::value& term, const json::value& node) {
  const json::array &labels = base::get_array(term, "matchExpressions"), &fields = base::get_array(term, "matchFields");
  if (labels.empty() && fields.empty()) return false;
  const json::object& have = base::get_object(node, "metadata.labels");
  for (const json::value& requirement : labels) {
    const json::value* value = have.if_contains(base::get_string(requirement, "key"));
    const bool there = value != nullptr && value->is_string();
    if (!fulfils(requirement, there, there ? std::string(value->get_string()) : "")) return false;
  }
  return std::ranges::all_of(fields, [&node](const json::value& requirement) {
    const bool name = base::get_string(requirement, "key") == "metadata.name";
    return fulfils(requirement, name, name ? name_of(node) : "");
  });
}

bool wants_node(const json::value& pod, const json::value& node) {
  const json::value* required =
      base::find(pod, "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution");
  if (required == nullptr || required->is_null()) return true;
  return std::ranges::any_of(base::get_array(*required, "nodeSelectorTerms"),
                             [&node](const json::value& term) { return term_matches(term, node); });
}

// Disk, huge pages and devices: what a node does not declare it has none of.
std::string short_of(const json::value& pod, const json::value& node, const std::vector<ObjectPtr>& placed) {
  for (const std::string& what : further_requests(pod)) {
    const std::int64_t room = base::parse_quantity(allocatable(node, what)).value_or(0);
    std::int64_t used = pod_request(pod, what);
    for (const ObjectPtr& other : placed) {
      if (base::get_string(*other, "spec.nodeName") == name_of(node) && !pod_finished(*other))
        used = add_requests(used, pod_request(*other, what));
    }
    if (used > room) return "Insufficient " + what;
  }
  return "";
}

std::string why_unsuitable(const json::value& pod, const json::value& node) {
  const json::value* ready = reconcile::find_condition(node, "Ready");
  if (ready != nullptr && base::get_string(*ready, "status") != "True") return "node is not ready";
  if (base::get_bool(node, "spec.unschedulable")) return "node is unschedulable";
  for (const json::value& taint : base::get_array(node, "spec.taints")) {
    const std::string effect = base::get_string(taint, "effect");
    if ((effect == "NoSchedule" || effect == "NoExecute") && !tolerates(pod, taint))
      return fmt::format("node has untolerated taint {{{}: {}}}", base::get_string(taint, "key"),
                         base::get_string(taint, "value"));
  }
  if (!wants_node(pod, node)) return "node does not match Pod's node affinity/selector";
  const json::object& labels = base::get_object(node, "metadata.labels");
  for (const auto& [key, value] : base::get_object(pod, "spec.nodeSelector")) {
    const json::value* have = labels.if_contains(key);
    if (have == nullptr || *have != value) return "node does not match Pod's node affinity/selector";
  }
  return "";
}

}  // namespace

std::string why_not(const json::value& pod, const json::value& node, const std::vector<ObjectPtr>& placed) {
  if (std::string reason = why_unsuitable(pod, node); !reason.empty()) return reason;
  Resources used;
  std::int64_t pods = 0;
  for (const ObjectPtr& other : placed) {
    if (base::get_string(*other, "spec.nodeName") != name_of(node) || pod_finished(*other)) continue;
    const Resources r = pod_requests(*other);
    used.cpu_milli = add_requests(used.cpu_milli, r.cpu_milli);
    used.memory_bytes = add_requests(used.memory_bytes, r.memory_bytes);
    ++pods;
  }
  const Resources asked = pod_requests(pod);
  const auto cpu = base::parse_quantity_milli(allocatable(node, "cpu"));
  const auto memory = base::parse_quantity(allocatable(node, "memory"));
  const auto most_pods = base::parse_quantity(allocatable(node, "pods"));
  if (most_pods && pods + 1 > *most_pods) return "Too many pods";
  // What a pod does not ask for it may have whatever is left: only a request can be too much.
  if (cpu && asked.cpu_milli > 0 && add_requests(used.cpu_milli, asked.cpu_milli) > *cpu)
    return fmt::format("Insufficient cpu (asks {}m, {}m of {}m are taken)", asked.cpu_milli, used.cpu_milli, *cpu);
  if (memory && asked.memory_bytes > 0 && add_requests(used.memory_bytes, asked.memory_bytes) > *memory) {
    return fmt::format("Insufficient memory (asks {}, {} of {} are taken)", base::format_bytes(asked.memory_bytes),
                       base::format_bytes(used.memory_bytes), base::format_bytes(*memory));
  }
  return short_of(pod, node, placed);
}

Scheduler::Scheduler(platform::Host& host)
    : host_(host),
      client_(host.client("default-scheduler")),
      pods_(host.caches().of(kPods)),
      nodes_(host.caches().of(kNodes)) {}

void Scheduler::add_to(platform::Host& host) {
  auto self = std::make_shared<Scheduler>(host);
  reconcile::ControllerOptions options;
  options.name = "scheduler";
  options.primary = kPods;
  options.workers = 1;  // two at once could both take the last room
  // A node that came, or changed: try those that wait.
  options.also.push_back({kNodes, [self](const json::value&) { return self->waiting(); }});
  // A pod that ended gave back its room.
  options.also.push_back({kPods, [self](const json::value& pod) {
                            const bool bound = !base::get_string(pod, "spec.nodeName").empty();
                            return bound && (pod_finished(pod) || being_deleted(pod)) ? self->waiting()
                                                                                      : std::vector<reconcile::Name>();
                          }});
  host.add_controller(std::move(options), [self](reconcile::Name name) { return self->reconcile(std::move(name)); });
}

bool Scheduler::waits(const json::value& pod) const {
  return base::get_string(pod, "spec.nodeName").empty() && pod_active(pod) &&
         base::get_string(pod, "spec.schedulerName", "default-scheduler") == "default-scheduler" &&
         base::get_array(pod, "spec.schedulingGates").empty();
}

std::vector<reconcile::Name> Scheduler::waiting() const {
  std::vector<reconcile::Name> out;
  for (const ObjectPtr& pod : pods_->list()) {
    if (waits(*pod)) out.push_back({ns_of(*pod), name_of(*pod)});
  }
  return out;
}

async::Task<reconcile::Outcome> Scheduler::reconcile(reconcile::Name name) {
  auto keep = shared_from_this();
  const ObjectPtr pod = pods_->get(name.ns, name.name);
  if (!pod || !waits(*pod)) co_return reconcile::Outcome::done();
  std::map<std::string, int> reasons;
  const std::vector<ObjectPtr> nodes = nodes_->list(), placed = pods_->list();
  for (const ObjectPtr& node : nodes) {
    const std::string reason = why_not(*pod, *node, placed);
    if (reason.empty()) {
      co_await bind(pod, name_of(*node));
      co_return reconcile::Outcome::done();
    }
    ++reasons[reason];
  }
  std::string message = fmt::format("0/{} nodes are available", nodes.size());
  const char* separator = ": ";
  for (const auto& [reason, count] : reasons) {
    message += fmt::format("{}{} {}", separator, count, reason);
    separator = ", ";
  }
  co_await refuse(pod, message + ".");
  co_return reconcile::Outcome::done();  // a node or a pod that ends brings us back
}

async::Task<> Scheduler::bind(ObjectPtr pod, std::string node) {
  // PodScheduled goes first: once the node's name stands the agent writes the status, and nobody else.
  const std::string ns = ns_of(*pod), name = name_of(*pod);
  json::value scheduled = *pod;
  reconcile::set_condition(scheduled, "PodScheduled", "True", "", "", host_.clock().now());
  json::value status =
      json::object{{"metadata", json::object{{"resourceVersion", base::get_string(*pod, "metadata.resourceVersion")}}},
                   {"status", json::object{{"conditions", base::get_array(scheduled, "status.conditions")}}}};
  const json::value written = co_await client_.merge_patch(kPods, ns, name, std::move(status), "status");
  json::value binding = json::object{
      {"metadata", json::object{{"resourceVersion", base::get_string(written, "metadata.resourceVersion")}}},
      {"spec", json::object{{"nodeName", node}}}};
  const json::value bound = co_await client_.merge_patch(kPods, ns, name, std::move(binding));
  host_.tasks().spawn("event", client_.event(*pod, "Normal", "Scheduled",
                                             fmt::format("Successfully assigned {}/{} to {}", ns, name, node)));
  // The next decision must see this one.
  co_await async::with_timeout(pods_->caught_up(base::get_string(bound, "metadata.resourceVersion")),
                               std::chrono::seconds(2));
}

async::Task<> Scheduler::refuse(ObjectPtr pod, std::string message) {
  const json::value* before = reconcile::find_condition(*pod, "PodScheduled");
  if (before != nullptr && base::get_string(*before, "message") == message) co_return;
  reconcile::Pass pass(client_, kPods, pod);
  pass.set_condition("PodScheduled", false, "Unschedulable", message, host_.clock());
  co_await pass.commit();
  host_.tasks().spawn("event", client_.event(*pod, "Warning", "FailedScheduling", message));
}

}  // namespace mainstay::compute
