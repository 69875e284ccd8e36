#include "capabilities/compute/admission.h"

#include <algorithm>
#include <array>

#include "base/status.h"
#include "base/strings.h"
#include "capabilities/compute/pod/pod_spec.h"

namespace mainstay::compute {
namespace {

constexpr std::string_view kRunLabel = "mainstay.dev/workflow-run";

// Capabilities that containers have anyway, or that reach no further than their own network.
constexpr std::array<std::string_view, 15> kHarmless{
    "AUDIT_WRITE", "CHOWN",   "DAC_OVERRIDE", "FOWNER",  "FSETID", "KILL",       "MKNOD",        "NET_BIND_SERVICE",
    "NET_RAW",     "SETFCAP", "SETGID",       "SETPCAP", "SETUID", "SYS_CHROOT", "NET_BROADCAST"};
// Settings of the pod's own network namespace.
constexpr std::array<std::string_view, 5> kSafeSysctls{"kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range",
                                                       "net.ipv4.ip_unprivileged_port_start", "net.ipv4.tcp_syncookies",
                                                       "net.ipv4.ping_group_range"};

// The node asks, whom no pod's network rules keep out: of another host than the pod that is a way to all of them, and
// to what listens for this machine alone.
void look_at_handlers(const json::value& container, const std::string& path, std::vector<std::string>& out) {
  for (const char* handler :
       {"livenessProbe", "readinessProbe", "startupProbe", "lifecycle.postStart", "lifecycle.preStop"}) {
    for (const char* host : {"httpGet.host", "tcpSocket.host"}) {
      const std::string field = fmt::format("{}.{}", handler, host);
      if (!base::get_string(container, field).empty()) out.push_back(fmt::format("{}.{}", path, field));
    }
  }
}

void look_at_container(const json::value& container, const std::string& path, std::vector<std::string>& out) {
  look_at_handlers(container, path, out);
  if (base::get_bool(container, "securityContext.privileged")) out.push_back(path + ".securityContext.privileged");
  if (base::get_string(container, "securityContext.seccompProfile.type") == "Unconfined")
    out.push_back(path + ".securityContext.seccompProfile");
  for (const std::string& name : string_list(container, "securityContext.capabilities.add")) {
    std::string_view bare = name;
    if (bare.starts_with("CAP_")) bare.remove_prefix(4);
    if (std::ranges::find(kHarmless, bare) == kHarmless.end())
      out.push_back(path + ".securityContext.capabilities.add: " + name);
  }
  for (const json::value& port : base::get_array(container, "ports")) {
    if (base::get_int(port, "hostPort") != 0) out.push_back(path + ".ports.hostPort");
  }
}

// The label and annotations only a workflow run's pod has.
void check_platform_marks(const api::AdmissionRequest& request) {
  if (request.user.name == kPipelinesUser) return;
  const auto changed = [&](std::string_view key, bool is_label) {
    const auto read = is_label ? base::label : base::annotation;
    const std::string now = read(*request.object, key);
    return !now.empty() && (request.old_object == nullptr || read(*request.old_object, key) != now);
  };
  for (const auto& [key, is_label] :
       {std::pair{kBuildsAnnotation, false}, std::pair{kBuildCacheAnnotation, false}, std::pair{kRunLabel, true}}) {
    if (changed(key, is_label))
      throw base::forbidden(
          fmt::format("pods \"{}\" is forbidden: {} {} is for pods of workflow runs; push a workflow and let the "
                      "platform make the pod",
                      request.name, is_label ? "label" : "annotation", key));
  }
}

// Neither its labels, by which it is known, nor its images: whoever could change them would say what the run attests.
void check_run_untouched(const api::AdmissionRequest& request) {
  if (request.operation != api::Operation::kUpdate || request.old_object == nullptr ||
      base::label(*request.old_object, kRunLabel).empty() || request.user.in_group(api::kMastersGroup))
    return;
  throw base::forbidden(
      fmt::format("pods \"{}\" is forbidden: it belongs to a workflow run, and is the platform's to change; you may "
                  "delete it, or the run",
                  request.name));
}

async::Task<> admit(platform::Host* host, api::AdmissionRequest& request) {
  check_platform_marks(request);
  check_run_untouched(request);
  const auto reaches = host_access(*request.object);
  // What was let in before, maybe by an earlier version, can still be labelled, and end.
  const bool had = request.old_object != nullptr && host_access(*request.old_object) == reaches;
  if (!reaches.empty() && !had && !may_reach_host(*host, request))
    throw base::forbidden(
        fmt::format("pods \"{}\" is forbidden: {} would reach into the machine, which only administrators may, outside "
                    "of team namespaces",
                    request.name, base::join(reaches, ", ")));
  if (request.operation == api::Operation::kUpdate && request.old_object != nullptr) {
    const std::string why = forbidden_update(*request.old_object, *request.object);
    if (!why.empty()) throw base::invalid("Pod", request.name, {{"spec", "FieldValueForbidden", why}});
  }
  co_return;
}

}  // namespace

bool may_reach_host(platform::Host& host, const api::AdmissionRequest& request) {
  const client::ObjectPtr ns = host.caches().of(client::resources::kNamespaces)->get("", request.ns);
  if (ns && !base::label(*ns, "mainstay.dev/team").empty()) return false;
  return request.user.in_group(api::kMastersGroup) || request.user.in_group(api::kAdminGroup);
}

void check_enterable(const json::value& pod, const api::UserInfo& user) {
  if (base::label(pod, kRunLabel).empty() || user.in_group(api::kMastersGroup)) return;
  throw base::forbidden(fmt::format(
      "pods \"{}\" is forbidden: it belongs to a workflow run, and what a run builds is signed as untouched; "
      "read its log, or try its steps in a pod of your own",
      base::get_string(pod, "metadata.name")));
}

std::vector<std::string> host_access(const json::value& pod) {
  std::vector<std::string> out;
  for (const char* field : {"hostNetwork", "hostPID", "hostIPC"}) {
    if (base::get_bool(pod, std::string("spec.") + field)) out.push_back(std::string("spec.") + field);
  }
  if (base::get_string(pod, "spec.securityContext.seccompProfile.type") == "Unconfined")
    out.emplace_back("spec.securityContext.seccompProfile");
  for (const json::value& sysctl : base::get_array(pod, "spec.securityContext.sysctls")) {
    const std::string name = base::get_string(sysctl, "name");
    if (std::ranges::find(kSafeSysctls, name) == kSafeSysctls.end())
      out.push_back("spec.securityContext.sysctls: " + name);
  }
  for (const json::value& volume : base::get_array(pod, "spec.volumes")) {
    if (base::find(volume, "hostPath") != nullptr)
      out.push_back(fmt::format("spec.volumes[{}].hostPath", base::get_string(volume, "name")));
  }
  for (const char* list : {"spec.containers", "spec.initContainers", "spec.ephemeralContainers"}) {
    for (const json::value& container : base::get_array(pod, list))
      look_at_container(container, fmt::format("{}[{}]", list, base::get_string(container, "name")), out);
  }
  return out;
}

std::string forbidden_update(const json::value& before, const json::value& after) {
  json::value old_spec(base::get_object(before, "spec")), new_spec(base::get_object(after, "spec"));
  // Binding: from no node to one.
  if (base::get_string(old_spec, "nodeName").empty()) {
    base::erase(old_spec, "nodeName");
    base::erase(new_spec, "nodeName");
  }
  for (json::value* spec : {&old_spec, &new_spec}) {
    for (const char* field :
         {"activeDeadlineSeconds", "terminationGracePeriodSeconds", "tolerations", "schedulingGates"})
      base::erase(*spec, field);
    for (const char* list : {"containers", "initContainers"}) {
      json::value* found = base::find(*spec, list);
      if (found == nullptr || !found->is_array()) continue;
      for (json::value& container : found->as_array()) base::erase(container, "image");
    }
  }
  if (old_spec == new_spec) return "";
  return "pod updates may not change fields other than `spec.containers[*].image`, `spec.initContainers[*].image`, "
         "`spec.activeDeadlineSeconds`, "
         "`spec.tolerations` and `spec.terminationGracePeriodSeconds`; delete the pod and create it anew";
}

api::AdmissionPlugin pod_admission(platform::Host& host) {
  api::AdmissionPlugin out;
  out.name = "pod-security";
  out.matches = [](const api::AdmissionRequest& request) {
    return request.type != nullptr && request.type->group.empty() && request.type->kind == "Pod" &&
           request.subresource.empty() && request.operation != api::Operation::kDelete && request.object != nullptr;
  };
  out.admit = [&host](api::AdmissionRequest& request) { return admit(&host, request); };
  return out;
}

}  // namespace mainstay::compute
