#include "capabilities/compute/volume/volumes.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <algorithm>

#include "base/files.h"
#include "base/quantity.h"
#include "base/strings.h"
#include "capabilities/compute/fs.h"
#include "capabilities/compute/volume/claims.h"

namespace mainstay::compute {
namespace fs = std::filesystem;
using base::ErrorCode;
using base::fail;
namespace {

// Secrets and tokens never reach a disk: one tmpfs a pod holds them.
constexpr const char* kSealed = "sealed";
constexpr const char* kPlain = "volumes";

bool is_sealed(const json::value& volume) {
  return base::find(volume, "secret") != nullptr || base::find(volume, "projected") != nullptr;
}

fs::path place_of(const json::value& volume, const fs::path& pod_directory) {
  if (const json::value* host = base::find(volume, "hostPath")) return base::get_string(*host, "path");
  return pod_directory / (is_sealed(volume) ? kSealed : kPlain) / base::get_string(volume, "name");
}

base::Result<> mount_tmpfs(const fs::path& where, const std::string& options) {
  MAINSTAY_TRY_VOID(base::make_directories(where, 0755));
  if (!mounts_below(where).empty()) return {};
  if (::mount("tmpfs", where.c_str(), "tmpfs", MS_NOSUID | MS_NODEV, options.c_str()) != 0)
    return errno_error("tmpfs for a volume");
  return {};
}

base::Result<> prepare_empty_dir(const PodSpec& spec, const json::value& source, const fs::path& where,
                                 const Security& security) {
  if (base::get_string(source, "medium") == "Memory") {
    std::string options = "mode=1777";
    const json::value* limit = base::find(source, "sizeLimit");
    if (limit != nullptr && limit->is_string()) {
      if (const auto bytes = base::parse_quantity(limit->as_string())) options += fmt::format(",size={}", *bytes);
    }
    MAINSTAY_TRY_VOID(mount_tmpfs(where, options));
  } else {
    MAINSTAY_TRY_VOID(base::make_directories(where, 0777));
  }
  ::chmod(where.c_str(), 0777);
  if (spec.builds && ::chown(where.c_str(), kUserNamespaceBase, kUserNamespaceBase) != 0) return errno_error("volume");
  if (security.fs_group) {
    if (::chown(where.c_str(), static_cast<uid_t>(-1), static_cast<gid_t>(*security.fs_group)) != 0)
      return errno_error("volume");
    ::chmod(where.c_str(), 02777);
  }
  return {};
}

// The claim's directory under the volume's name: a link, which only the agent can change.
base::Result<> prepare_claim(const fs::path& source, const fs::path& where, const Security& security) {
  std::error_code error;
  if (!fs::is_directory(source, error))
    return fail(ErrorCode::kNotFound, fmt::format("the volume {} is not on this machine's disk", source.string()));
  if (security.fs_group) {
    if (::chown(source.c_str(), static_cast<uid_t>(-1), static_cast<gid_t>(*security.fs_group)) != 0)
      return errno_error("volume");
    ::chmod(source.c_str(), 02777);
  }
  if (fs::read_symlink(where, error) == source) return {};
  MAINSTAY_TRY_VOID(base::make_directories(where.parent_path(), 0755));
  fs::remove(where, error);
  fs::create_directory_symlink(source, where, error);
  if (error)
    return fail(ErrorCode::kInternal, fmt::format("volume {}: {}", where.filename().string(), error.message()));
  return {};
}

base::Result<> prepare_host_path(const json::value& source) {
  const std::string path = base::get_string(source, "path"), type = base::get_string(source, "type");
  std::error_code ignored;
  if (!path.starts_with('/'))
    return fail(ErrorCode::kInvalid, fmt::format("hostPath \"{}\" is not an absolute path", path));
  if (type == "DirectoryOrCreate") return base::make_directories(path, 0755);
  if (type == "FileOrCreate" && !fs::exists(path, ignored)) return write_light(path, "", 0644);
  if (!fs::exists(path, ignored))
    return fail(ErrorCode::kNotFound,
                fmt::format("hostPath {} is not there; create it, or set type: DirectoryOrCreate", path));
  if (type == "Directory" && !fs::is_directory(path, ignored))
    return fail(ErrorCode::kInvalid, fmt::format("hostPath {} is not a directory", path));
  if (type == "File" && !fs::is_regular_file(path, ignored))
    return fail(ErrorCode::kInvalid, fmt::format("hostPath {} is not a file", path));
  return {};
}

base::Result<> prepare(const PodSpec& spec, const json::value& volume, const fs::path& pod_directory,
                       const EnvironmentSources& sources, const Tokens& tokens, std::string_view ca) {
  const fs::path where = place_of(volume, pod_directory);
  const Security security = read_security(*spec.object, json::value(json::object{}));
  if (const json::value* source = base::find(volume, "emptyDir"))
    return prepare_empty_dir(spec, *source, where, security);
  if (const json::value* source = base::find(volume, "hostPath")) return prepare_host_path(*source);
  if (base::find(volume, "persistentVolumeClaim") != nullptr) {
    MAINSTAY_TRY(const fs::path source, claim_directory(pod_directory, volume, sources));
    return prepare_claim(source, where, security);
  }
  MAINSTAY_TRY(const auto files, volume_files(volume, sources, tokens, ca));
  if (!files)
    return fail(ErrorCode::kInvalid, fmt::format("volume {} is of a kind that is not supported here; use emptyDir, "
                                                 "persistentVolumeClaim, configMap, secret, projected or downwardAPI",
                                                 base::get_string(volume, "name")));
  if (is_sealed(volume)) MAINSTAY_TRY_VOID(mount_tmpfs(pod_directory / kSealed, "mode=0711,size=64m"));
  std::optional<gid_t> group;
  if (security.fs_group) group = static_cast<gid_t>(*security.fs_group);
  return write_files(where, *files, spec.builds ? kUserNamespaceBase : 0, group);
}

// A path inside a volume must not leave it, whatever links the containers made there: the kernel resolves it, and the
// container gets a mount of what was found.
base::Result<std::string> sub_path(const fs::path& volume, const std::string& sub, const fs::path& target) {
  Fd root(::open(volume.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!root.ok()) return errno_error("volume " + volume.filename().string());
  Fd found = open_in_root(root.get(), sub, O_PATH);
  if (!found.ok() && errno == ENOENT) {
    std::string so_far;
    for (std::string_view part : base::split(sub, '/')) {
      if (part.empty() || part == ".") continue;
      if (part == "..") return fail(ErrorCode::kInvalid, fmt::format("subPath \"{}\" contains `..`", sub));
      Fd parent = open_in_root(root.get(), so_far, O_PATH | O_DIRECTORY);
      if (!parent.ok()) return errno_error("subPath " + sub);
      if (::mkdirat(parent.get(), std::string(part).c_str(), 0777) == 0)
        ::fchmodat(parent.get(), std::string(part).c_str(), 0777, 0);
      so_far += (so_far.empty() ? "" : "/") + std::string(part);
    }
    found = open_in_root(root.get(), sub, O_PATH);
  }
  if (!found.ok()) return errno_error("subPath " + sub);
  struct stat info{};
  ::fstat(found.get(), &info);
  unmount_below(target);
  MAINSTAY_TRY_VOID(base::make_directories(target.parent_path(), 0711));
  if (S_ISDIR(info.st_mode)) {
    MAINSTAY_TRY_VOID(base::make_directories(target, 0755));
  } else {
    MAINSTAY_TRY_VOID(write_light(target, "", 0644));
  }
  const std::string source = fmt::format("/proc/self/fd/{}", found.get());
  if (::mount(source.c_str(), target.c_str(), nullptr, MS_BIND, nullptr) != 0) return errno_error("subPath " + sub);
  return target.string();
}

}  // namespace

std::vector<json::value> volumes_of(const PodSpec& spec, bool with_token) {
  const json::array& declared = base::get_array(*spec.object, "spec.volumes");
  std::vector<json::value> out(declared.begin(), declared.end());
  if (with_token) out.push_back(default_token_volume());
  return out;
}

base::Result<> prepare_volumes(const PodSpec& spec, const std::vector<json::value>& volumes,
                               const fs::path& pod_directory, const EnvironmentSources& sources, const Tokens& tokens,
                               std::string_view ca) {
  for (const json::value& volume : volumes)
    MAINSTAY_TRY_VOID(prepare(spec, volume, pod_directory, sources, tokens, ca));
  return {};
}

base::Result<std::vector<Mount>> container_mounts(const PodSpec& spec, const std::vector<json::value>& volumes,
                                                  const ContainerSpec& container, const fs::path& pod_directory,
                                                  const Variables& variables) {
  std::vector<Mount> out;
  bool own_token = false;
  int number = 0;
  const auto find_volume = [&volumes](std::string_view name) {
    return std::ranges::find_if(volumes, [name](const json::value& v) { return base::get_string(v, "name") == name; });
  };
  for (const json::value& mount : base::get_array(*container.source, "volumeMounts")) {
    const std::string name = base::get_string(mount, "name");
    const auto volume = find_volume(name);
    if (volume == volumes.end())
      return fail(
          ErrorCode::kInvalid,
          fmt::format("container {} mounts volume \"{}\", which spec.volumes does not have", container.name, name));
    Mount m{base::get_string(mount, "mountPath"), "bind", place_of(*volume, pod_directory), {"rbind", "rprivate"}};
    if (base::find(*volume, "persistentVolumeClaim") != nullptr) {
      std::error_code error;
      m.source = fs::read_symlink(m.source, error);
      if (error) return fail(ErrorCode::kNotFound, fmt::format("volume {} is not there (yet)", name));
    }
    if (!m.destination.starts_with('/')) m.destination.insert(0, "/");
    m.options.emplace_back(base::get_bool(mount, "readOnly") ||
                                   base::get_bool(*volume, "persistentVolumeClaim.readOnly") || is_sealed(*volume) ||
                                   base::find(*volume, "configMap") != nullptr
                               ? "ro"
                               : "rw");
    std::string sub = base::get_string(mount, "subPath");
    if (sub.empty()) sub = expand(base::get_string(mount, "subPathExpr"), variables);
    if (!sub.empty()) {
      MAINSTAY_TRY(m.source, sub_path(m.source, sub,
                                      pod_directory / "subpaths" / fmt::format("{}-{}", container.name, number++)));
    }
    own_token = own_token || m.destination == kTokenDirectory;
    out.push_back(std::move(m));
  }
  if (const auto token = find_volume(kTokenVolume); token != volumes.end() && !own_token)
    out.push_back({std::string(kTokenDirectory), "bind", place_of(*token, pod_directory), {"rbind", "rprivate", "ro"}});
  return out;
}

std::set<std::string> mounted_objects(const PodSpec& spec, std::string_view kind) {
  const bool secret = kind == "Secret";
  std::set<std::string> out;
  const auto note = [&](const json::value& holder) {
    const json::value* source = base::find(holder, secret ? "secret" : "configMap");
    if (source == nullptr) return;
    std::string name = base::get_string(*source, "name");
    if (name.empty()) name = base::get_string(*source, "secretName");
    out.insert(std::move(name));
  };
  for (const json::value& volume : base::get_array(*spec.object, "spec.volumes")) {
    note(volume);
    for (const json::value& part : base::get_array(volume, "projected.sources")) note(part);
  }
  return out;
}

std::set<std::string> referenced_objects(const PodSpec& spec, std::string_view kind) {
  const bool secret = kind == "Secret";
  std::set<std::string> out = mounted_objects(spec, kind);
  for (const std::vector<ContainerSpec>* list : {&spec.containers, &spec.init}) {
    for (const ContainerSpec& container : *list) {
      for (const json::value& entry : base::get_array(*container.source, "envFrom")) {
        if (const json::value* from = base::find(entry, secret ? "secretRef" : "configMapRef"))
          out.insert(base::get_string(*from, "name"));
      }
      for (const json::value& entry : base::get_array(*container.source, "env")) {
        if (const json::value* from =
                base::find(entry, secret ? "valueFrom.secretKeyRef" : "valueFrom.configMapKeyRef"))
          out.insert(base::get_string(*from, "name"));
      }
    }
  }
  return out;
}

}  // namespace mainstay::compute
