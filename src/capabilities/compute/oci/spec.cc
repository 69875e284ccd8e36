#include "capabilities/compute/oci/spec.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "base/strings.h"
#include "capabilities/compute/fs.h"
#include "capabilities/compute/oci/seccomp.h"
#include "capabilities/compute/pod/pod_spec.h"

namespace mainstay::compute {
namespace {

constexpr std::array<std::string_view, 41> kCapabilities{"CAP_CHOWN",
                                                         "CAP_DAC_OVERRIDE",
                                                         "CAP_DAC_READ_SEARCH",
                                                         "CAP_FOWNER",
                                                         "CAP_FSETID",
                                                         "CAP_KILL",
                                                         "CAP_SETGID",
                                                         "CAP_SETUID",
                                                         "CAP_SETPCAP",
                                                         "CAP_LINUX_IMMUTABLE",
                                                         "CAP_NET_BIND_SERVICE",
                                                         "CAP_NET_BROADCAST",
                                                         "CAP_NET_ADMIN",
                                                         "CAP_NET_RAW",
                                                         "CAP_IPC_LOCK",
                                                         "CAP_IPC_OWNER",
                                                         "CAP_SYS_MODULE",
                                                         "CAP_SYS_RAWIO",
                                                         "CAP_SYS_CHROOT",
                                                         "CAP_SYS_PTRACE",
                                                         "CAP_SYS_PACCT",
                                                         "CAP_SYS_ADMIN",
                                                         "CAP_SYS_BOOT",
                                                         "CAP_SYS_NICE",
                                                         "CAP_SYS_RESOURCE",
                                                         "CAP_SYS_TIME",
                                                         "CAP_SYS_TTY_CONFIG",
                                                         "CAP_MKNOD",
                                                         "CAP_LEASE",
                                                         "CAP_AUDIT_WRITE",
                                                         "CAP_AUDIT_CONTROL",
                                                         "CAP_SETFCAP",
                                                         "CAP_MAC_OVERRIDE",
                                                         "CAP_MAC_ADMIN",
                                                         "CAP_SYSLOG",
                                                         "CAP_WAKE_ALARM",
                                                         "CAP_BLOCK_SUSPEND",
                                                         "CAP_AUDIT_READ",
                                                         "CAP_PERFMON",
                                                         "CAP_BPF",
                                                         "CAP_CHECKPOINT_RESTORE"};

// What container runtimes agree on for ordinary containers.
constexpr std::array<std::string_view, 14> kDefault{
    "CAP_CHOWN",   "CAP_DAC_OVERRIDE", "CAP_FSETID",           "CAP_FOWNER",
    "CAP_MKNOD",   "CAP_NET_RAW",      "CAP_SETGID",           "CAP_SETUID",
    "CAP_SETFCAP", "CAP_SETPCAP",      "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT",
    "CAP_KILL",    "CAP_AUDIT_WRITE"};
// Powerful only within the user namespace a build has to itself.
constexpr std::array<std::string_view, 10> kBuild{"CAP_CHOWN",      "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID",
                                                  "CAP_SETFCAP",    "CAP_SETGID",       "CAP_SETUID", "CAP_KILL",
                                                  "CAP_SYS_CHROOT", "CAP_SYS_ADMIN"};

std::set<std::string> wanted_capabilities(const SpecInput& input, const std::set<std::string>& available) {
  std::set<std::string> out;
  const Security& s = input.security;
  const auto named = [](const std::vector<std::string>& list, std::string_view name) {
    return std::ranges::any_of(list, [name](const std::string& c) { return c == name || "CAP_" + c == name; });
  };
  const auto keep = [&](std::string_view name) {
    if (available.contains(std::string(name))) out.emplace(name);
  };
  if (input.builds) {
    for (std::string_view name : kBuild) keep(name);
    return out;
  }
  if (s.privileged || named(s.add, "ALL")) {
    for (std::string_view name : kCapabilities) keep(name);
  } else {
    if (!named(s.drop, "ALL")) {
      for (std::string_view name : kDefault) keep(name);
    }
    for (std::string_view name : kCapabilities) {
      if (named(s.add, name)) keep(name);
    }
  }
  for (const std::string& name : s.drop) out.erase(name.starts_with("CAP_") ? name : "CAP_" + name);
  return out;
}

json::array strings(const std::vector<std::string>& list) {
  json::array out;
  for (const std::string& s : list) out.push_back(json::string(s));
  return out;
}

json::object mount_json(const Mount& m) {
  return {{"destination", m.destination}, {"type", m.type}, {"source", m.source}, {"options", strings(m.options)}};
}

std::vector<Mount> standard_mounts(const SpecInput& input) {
  const std::string shm = fmt::format("size={}", input.shm_bytes);
  std::vector<Mount> out{
      {"/proc", "proc", "proc", {"nosuid", "noexec", "nodev"}},
      {"/dev", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}},
      // gid=5 (tty) is not mapped everywhere in a user namespace's view of the host, and not needed there.
      input.builds
          ? Mount{"/dev/pts", "devpts", "devpts", {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"}}
          : Mount{"/dev/pts",
                  "devpts",
                  "devpts",
                  {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
      {"/dev/shm", "tmpfs", "shm", {"nosuid", "noexec", "nodev", "mode=1777", shm}},
  };
  if (!input.builds) out.push_back({"/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"}});
  // sysfs shows the network namespace it is mounted from, so its owner must be this user namespace: bound instead.
  if (input.builds || input.netns.empty()) {
    out.push_back({"/sys", "bind", "/sys", {"rbind", "ro", "nosuid", "noexec", "nodev"}});
  } else {
    out.push_back({"/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", input.security.privileged ? "rw" : "ro"}});
    out.push_back({"/sys/fs/cgroup", "cgroup", "cgroup", {"nosuid", "noexec", "nodev", "relatime", "ro"}});
  }
  return out;
}

json::object resources_json(const SpecInput& input) {
  json::array devices;
  if (input.security.privileged) {
    devices.push_back(json::object{{"allow", true}, {"access", "rwm"}});
  } else {
    devices.push_back(json::object{{"allow", false}, {"access", "rwm"}});
    // null, zero, full, random, urandom; tty, ptmx; all of pts.
    for (const auto& [major, minor] :
         std::initializer_list<std::pair<int, int>>{{1, 3}, {1, 5}, {1, 7}, {1, 8}, {1, 9}, {5, 0}, {5, 2}})
      devices.push_back(
          json::object{{"allow", true}, {"type", "c"}, {"major", major}, {"minor", minor}, {"access", "rwm"}});
    devices.push_back(json::object{{"allow", true}, {"type", "c"}, {"major", 136}, {"access", "rwm"}});
  }
  json::object cpu{{"shares", cpu_shares(input.resources)}};
  if (const auto quota = cpu_quota(input.resources)) {
    // Never -1 for "no limit": crun writes it as it is, and the kernel refuses.
    cpu["quota"] = *quota;
    cpu["period"] = kCpuPeriod;
  }
  json::object out{
      {"devices", std::move(devices)}, {"cpu", std::move(cpu)}, {"pids", json::object{{"limit", kPidsLimit}}}};
  if (input.resources.memory_limit) out["memory"] = json::object{{"limit", *input.resources.memory_limit}};
  return out;
}

json::array namespaces(const SpecInput& input) {
  json::array out{json::object{{"type", "uts"}}, json::object{{"type", "mount"}}};
  if (!input.host_pid) out.push_back(json::object{{"type", "pid"}});
  if (!input.host_ipc) out.push_back(json::object{{"type", "ipc"}});
  if (!input.netns.empty()) out.push_back(json::object{{"type", "network"}, {"path", input.netns}});
  if (input.builds) out.push_back(json::object{{"type", "user"}});
  return out;
}

json::object linux_json(const SpecInput& input) {
  json::object out{
      {"namespaces", namespaces(input)}, {"cgroupsPath", input.cgroup_path}, {"resources", resources_json(input)}};
  if (input.builds) {
    const json::array map{json::object{
        {"containerID", 0}, {"hostID", std::int64_t{kUserNamespaceBase}}, {"size", std::int64_t{kUserNamespaceSize}}}};
    out["uidMappings"] = map;
    out["gidMappings"] = map;
  }
  if (!input.security.sysctls.empty()) {
    json::object sysctl;
    for (const auto& [name, value] : input.security.sysctls) sysctl[name] = value;
    out["sysctl"] = std::move(sysctl);
  }
  if (input.security.privileged) return out;
  out["maskedPaths"] = strings({"/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
                                "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi",
                                "/sys/firmware", "/sys/devices/virtual/powercap"});
  // A build mounts a proc of its own in its user namespace, which the kernel allows only where none of ours is covered
  // in part.
  if (!input.builds)
    out["readonlyPaths"] = strings({"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"});
  if (input.builds) out["maskedPaths"] = strings({"/proc/kcore", "/proc/keys", "/proc/timer_list"});
  if (!input.security.unconfined) out["seccomp"] = input.builds ? build_seccomp() : default_seccomp();
  return out;
}

template <class T>
std::optional<T> either(const json::value& pod, const json::value& container, std::string_view key) {
  const json::value* v = base::find(container, {"securityContext", key});
  if (v == nullptr || v->is_null()) v = base::find(pod, {"spec", "securityContext", key});
  if (v == nullptr || v->is_null()) return std::nullopt;
  if constexpr (std::is_same_v<T, bool>) {
    return v->is_bool() ? std::optional(v->as_bool()) : std::nullopt;
  } else {
    return v->is_int64() ? std::optional(v->as_int64()) : std::nullopt;
  }
}

}  // namespace

Security read_security(const json::value& pod, const json::value& container) {
  Security out;
  out.run_as_user = either<std::int64_t>(pod, container, "runAsUser");
  out.run_as_group = either<std::int64_t>(pod, container, "runAsGroup");
  out.run_as_non_root = either<bool>(pod, container, "runAsNonRoot").value_or(false);
  out.read_only_root = base::get_bool(container, "securityContext.readOnlyRootFilesystem");
  out.privileged = base::get_bool(container, "securityContext.privileged");
  out.allow_escalation = base::get_bool(container, "securityContext.allowPrivilegeEscalation", true) || out.privileged;
  std::string profile = base::get_string(container, "securityContext.seccompProfile.type");
  if (profile.empty()) profile = base::get_string(pod, "spec.securityContext.seccompProfile.type");
  out.unconfined = out.privileged || profile == "Unconfined";
  out.add = string_list(container, "securityContext.capabilities.add");
  out.drop = string_list(container, "securityContext.capabilities.drop");
  if (base::find(pod, "spec.securityContext.fsGroup") != nullptr)
    out.fs_group = base::get_int(pod, "spec.securityContext.fsGroup");
  for (const json::value& group : base::get_array(pod, "spec.securityContext.supplementalGroups")) {
    if (group.is_int64()) out.supplemental_groups.push_back(static_cast<std::uint32_t>(group.as_int64()));
  }
  for (const json::value& sysctl : base::get_array(pod, "spec.securityContext.sysctls"))
    out.sysctls[base::get_string(sysctl, "name")] = base::get_string(sysctl, "value");
  return out;
}

json::object oci_process(const SpecInput& input, const std::set<std::string>& available) {
  json::array caps;
  for (const std::string& name : wanted_capabilities(input, available)) caps.push_back(json::string(name));
  json::array env, groups;
  for (const auto& [name, value] : input.env) env.push_back(json::string(name + "=" + value));
  for (std::uint32_t gid : input.user.groups) groups.push_back(gid);
  return {
      {"terminal", input.terminal},
      {"user", json::object{{"uid", input.user.uid}, {"gid", input.user.gid}, {"additionalGids", std::move(groups)}}},
      {"args", strings(input.args)},
      {"env", std::move(env)},
      {"cwd", input.cwd.empty() ? "/" : input.cwd},
      {"capabilities", json::object{{"bounding", caps}, {"effective", caps}, {"permitted", caps}}},
      {"noNewPrivileges", input.builds || !input.security.allow_escalation},
      {"oomScoreAdj", input.oom_score_adj}};
}

json::object oci_config(const SpecInput& input, const std::set<std::string>& available) {
  json::array mounts;
  for (const Mount& m : standard_mounts(input)) mounts.push_back(mount_json(m));
  // A mount inside another must come after it.
  std::multimap<std::ptrdiff_t, const Mount*> by_depth;
  for (const Mount& m : input.mounts) by_depth.emplace(std::ranges::count(m.destination, '/'), &m);
  for (const auto& [depth, m] : by_depth) mounts.push_back(mount_json(*m));
  json::object out{{"ociVersion", "1.0.2"},
                   {"process", oci_process(input, available)},
                   {"root", json::object{{"path", input.rootfs}, {"readonly", input.security.read_only_root}}},
                   {"mounts", std::move(mounts)},
                   {"linux", linux_json(input)}};
  out["hostname"] = input.hostname;
  return out;
}

std::set<std::string> capability_names(std::uint64_t mask) {
  std::set<std::string> out;
  for (std::size_t bit = 0; bit < kCapabilities.size(); ++bit) {
    if ((mask >> bit & 1) != 0) out.emplace(kCapabilities[bit]);
  }
  return out;
}

std::set<std::string> bounding_capabilities() {
  const std::string status = slurp("/proc/self/status");
  const auto at = status.find("CapBnd:");
  std::uint64_t mask = 0;
  if (at != std::string::npos) {
    const std::string_view text = base::trim(std::string_view(status).substr(at + 7, status.find('\n', at) - at - 7));
    std::from_chars(text.data(), text.data() + text.size(), mask, 16);
  }
  return capability_names(mask);
}

}  // namespace mainstay::compute
