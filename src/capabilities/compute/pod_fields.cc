#include "capabilities/compute/pod_fields.h"

#include <algorithm>
#include <array>
#include <span>

#include "base/status.h"
#include "base/strings.h"

namespace mainstay::compute {
namespace {

enum Say { kRefuse, kTune };

struct Rule {
  std::string_view field;
  std::string_view served;  // values, with | between, that mean what is done anyway; "": none
  Say say;
  std::string_view why;
};

constexpr std::array kPodRules{
    Rule{"hostUsers", "true", kRefuse, "pods have no user namespace of their own; leave it out"},
    Rule{"shareProcessNamespace", "false", kRefuse, "each container has a process namespace of its own"},
    Rule{"hostnameOverride", "", kRefuse, "use hostname"},
    Rule{"setHostnameAsFQDN", "false", kRefuse, "the kernel's host name is the short one"},
    Rule{"readinessGates", "", kRefuse, "readiness is what the containers' probes say"},
    Rule{"runtimeClassName", "", kRefuse, "crun is the only runtime"},
    Rule{"overhead", "", kRefuse, "it belongs to a runtime class, of which there are none"},
    Rule{"os.name", "linux", kRefuse, "the node runs Linux"},
    Rule{"resourceClaims", "", kRefuse, "there is no dynamic resource allocation"},
    Rule{"resources", "", kRefuse, "set resources of the containers"},
    Rule{"ephemeralContainers", "", kRefuse, "use kubectl exec, or a second pod"},
    Rule{"securityContext.supplementalGroupsPolicy", "Merge", kRefuse, "groups of the image's /etc/group are added"},
    Rule{"securityContext.fsGroupChangePolicy", "", kTune,
         "the group is set on the volume's own directory, which hands it on to what is made in it"},
    Rule{"securityContext.seLinuxChangePolicy", "", kTune, "the node has no SELinux policy"},
    Rule{"priorityClassName", "", kTune, "pods wait for room in the order they came; none is evicted for another"},
    Rule{"priority", "0", kTune, "pods wait for room in the order they came; none is evicted for another"},
    Rule{"preemptionPolicy", "Never", kTune, "no pod is evicted for another"},
    Rule{"affinity.podAffinity", "", kTune, "there is one node"},
    Rule{"affinity.podAntiAffinity", "", kTune, "there is one node"},
    Rule{"affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution", "", kTune, "there is one node"},
    Rule{"topologySpreadConstraints", "", kTune, "there is one node"},
    Rule{"imagePullSecrets", "", kTune, "images come through the platform's registry, with the pod's own rights"}};

// Of the pod's and of each container's securityContext.
constexpr std::array kSecurityRules{
    Rule{"securityContext.seccompProfile.type", "RuntimeDefault|Unconfined", kRefuse,
         "profiles of the node's own are not served; use RuntimeDefault"},
    Rule{"securityContext.appArmorProfile.type", "Unconfined", kRefuse, "AppArmor profiles are not applied"},
    Rule{"securityContext.windowsOptions", "", kRefuse, "the node runs Linux"},
    Rule{"securityContext.seLinuxOptions", "", kTune, "the node has no SELinux policy"}};

constexpr std::array kContainerRules{
    Rule{"volumeDevices", "", kRefuse, "block volumes are not served; use volumeMounts"},
    Rule{"restartPolicyRules", "", kRefuse, "use the pod's restartPolicy"},
    Rule{"resources.claims", "", kRefuse, "there is no dynamic resource allocation"},
    Rule{"livenessProbe.grpc", "", kRefuse, "use httpGet, tcpSocket or exec"},
    Rule{"readinessProbe.grpc", "", kRefuse, "use httpGet, tcpSocket or exec"},
    Rule{"startupProbe.grpc", "", kRefuse, "use httpGet, tcpSocket or exec"},
    Rule{"lifecycle.stopSignal", "", kRefuse, "the image's STOPSIGNAL is sent"},
    Rule{"securityContext.procMount", "Default", kRefuse, "/proc is always masked"},
    Rule{"resizePolicy", "", kTune, "resources of a running container do not change"},
    Rule{"resources.limits.ephemeral-storage", "", kTune, "what a container writes to disk is not limited"}};

constexpr std::array kMountRules{
    Rule{"mountPropagation", "None", kRefuse, "mounts of the node made later are not seen in containers"},
    Rule{"recursiveReadOnly", "Disabled|IfPossible", kRefuse, "use readOnly"}};

constexpr std::array<std::string_view, 7> kVolumeKinds{
    "emptyDir", "hostPath", "persistentVolumeClaim", "configMap", "secret", "projected", "downwardAPI"};
constexpr std::array<std::string_view, 4> kSources{"configMap", "secret", "downwardAPI", "serviceAccountToken"};

bool has(const auto& list, std::string_view word) { return std::ranges::find(list, word) != std::ranges::end(list); }

bool empty(const json::value& value) {
  return value.is_null() || (value.is_object() && value.get_object().empty()) ||
         (value.is_array() && value.get_array().empty()) || (value.is_string() && value.get_string().empty());
}

class Findings {
 public:
  void add(std::string field, std::string_view why, Say say) {
    out_.push_back({std::move(field), std::string(why), say == kRefuse});
  }
  void look(std::span<const Rule> rules, const json::value& at, const std::string& path) {
    for (const Rule& rule : rules) {
      const json::value* value = base::find(at, rule.field);
      if (value == nullptr || empty(*value)) continue;
      const std::string text = value->is_string() ? std::string(value->get_string()) : base::to_json(*value);
      if (has(base::split(rule.served, '|'), text)) continue;
      add(fmt::format("{}.{}", path, rule.field), rule.why, rule.say);
    }
  }
  std::vector<UnservedField> take() { return std::move(out_); }

 private:
  std::vector<UnservedField> out_;
};

void look_at_container(Findings& out, const json::value& container, const std::string& path, bool init) {
  out.look(kContainerRules, container, path);
  out.look(kSecurityRules, container, path);
  if (const std::string policy = base::get_string(container, "restartPolicy");
      !policy.empty() && !(init && policy == "Always"))
    out.add(path + ".restartPolicy", "use the pod's; on init containers Always makes a side car", kRefuse);
  const json::array& mounts = base::get_array(container, "volumeMounts");
  for (std::size_t i = 0; i < mounts.size(); ++i)
    out.look(kMountRules, mounts[i], fmt::format("{}.volumeMounts[{}]", path, i));
  const json::array& variables = base::get_array(container, "env");
  for (std::size_t i = 0; i < variables.size(); ++i) {
    if (base::find(variables[i], "valueFrom.fileKeyRef") != nullptr)
      out.add(fmt::format("{}.env[{}].valueFrom.fileKeyRef", path, i), "use configMapKeyRef or secretKeyRef", kRefuse);
  }
}

void look_at_volume(Findings& out, const json::value& volume, const std::string& path) {
  if (!volume.is_object()) return;
  for (const auto& member : volume.get_object()) {
    const std::string_view kind = member.key();
    if (kind == "name" || has(kVolumeKinds, kind)) continue;
    out.add(fmt::format("{}.{}", path, kind), "use persistentVolumeClaim, emptyDir, configMap, secret or projected",
            kRefuse);
  }
  const std::string medium = base::get_string(volume, "emptyDir.medium");
  if (!medium.empty() && medium != "Memory")
    out.add(path + ".emptyDir.medium", "use Memory, or leave it out for the disk", kRefuse);
  if (base::find(volume, "emptyDir.sizeLimit") != nullptr && medium.empty())
    out.add(path + ".emptyDir.sizeLimit", "it holds for medium Memory alone", kTune);
  const json::array& sources = base::get_array(volume, "projected.sources");
  for (std::size_t i = 0; i < sources.size(); ++i) {
    if (!sources[i].is_object()) continue;
    for (const auto& member : sources[i].get_object()) {
      if (has(kSources, member.key())) continue;
      out.add(fmt::format("{}.projected.sources[{}].{}", path, i, std::string_view(member.key())),
              "use configMap, secret, downwardAPI or serviceAccountToken", kRefuse);
    }
  }
}

std::string spec_path(const api::AdmissionRequest& request) {
  return request.type->kind == "Pod" ? "spec" : "spec.template.spec";
}

bool concerns(const api::AdmissionRequest& request) {
  if (request.type == nullptr || request.object == nullptr || !request.subresource.empty()) return false;
  // What controllers make comes of a template that was looked at.
  if (request.user.name.starts_with("system:mainstay:")) return false;
  const std::string& kind = request.type->kind;
  return (request.type->group.empty() && kind == "Pod") ||
         (request.type->group == "apps" && (kind == "Deployment" || kind == "ReplicaSet")) ||
         (request.type->group == "batch" && kind == "Job");
}

async::Task<> admit(api::AdmissionRequest& request) {
  const std::string path = spec_path(request);
  const json::value* spec = base::find(*request.object, path);
  if (spec == nullptr) co_return;  // validation says so
  if (request.old_object != nullptr) {
    const json::value* before = base::find(*request.old_object, path);
    if (before != nullptr && *before == *spec) co_return;
  }
  std::vector<base::Cause> causes;
  for (UnservedField& found : unserved_fields(*spec, path)) {
    if (found.refused)
      causes.push_back({std::move(found.field), "FieldValueForbidden", "Forbidden: not served here: " + found.why});
  }
  if (!causes.empty()) throw base::invalid(request.type->qualified_kind(), request.name, causes);
}

}  // namespace

std::vector<UnservedField> unserved_fields(const json::value& spec, const std::string& path) {
  Findings out;
  out.look(kPodRules, spec, path);
  out.look(kSecurityRules, spec, path);
  for (const char* list : {"initContainers", "containers"}) {
    const json::array& containers = base::get_array(spec, list);
    for (std::size_t i = 0; i < containers.size(); ++i)
      look_at_container(out, containers[i], fmt::format("{}.{}[{}]", path, list, i), *list == 'i');
  }
  const json::array& volumes = base::get_array(spec, "volumes");
  for (std::size_t i = 0; i < volumes.size(); ++i)
    look_at_volume(out, volumes[i], fmt::format("{}.volumes[{}]", path, i));
  return out.take();
}

api::AdmissionPlugin pod_fields_admission() {
  api::AdmissionPlugin out;
  out.name = "pod-fields";
  out.matches = concerns;
  out.admit = admit;
  return out;
}

}  // namespace mainstay::compute
