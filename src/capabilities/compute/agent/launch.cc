#include "capabilities/compute/agent/launch.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/files.h"
#include "base/log.h"
#include "base/strings.h"
#include "capabilities/compute/fs.h"
#include "capabilities/compute/volume/volumes.h"

namespace mainstay::compute {
namespace fs = std::filesystem;
using base::ErrorCode;
using base::fail;
namespace {

std::string read_in_root(int root, const char* path) {
  Fd fd = open_in_root(root, path, O_RDONLY | O_NONBLOCK);
  struct stat info{};
  if (!fd.ok() || ::fstat(fd.get(), &info) != 0 || !S_ISREG(info.st_mode) || info.st_size > (8 << 20)) return "";
  return slurp(fmt::format("/proc/self/fd/{}", fd.get()), 8u << 20);
}

// A WORKDIR that the image does not have is made, as container engines do, for the user the program runs as.
void make_working_directory(const fs::path& rootfs, const std::string& cwd, const ProcessUser& user, uid_t offset) {
  Fd root(::open(rootfs.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  std::string so_far;
  for (std::string_view part : base::split(cwd, '/')) {
    if (part.empty() || part == "." || part == "..") continue;
    Fd parent = open_in_root(root.get(), so_far, O_PATH | O_DIRECTORY);
    so_far += (so_far.empty() ? "" : "/") + std::string(part);
    if (!parent.ok() || open_in_root(root.get(), so_far, O_PATH | O_DIRECTORY).ok()) continue;
    const std::string name(part);
    if (::mkdirat(parent.get(), name.c_str(), 0755) != 0) return;
    if (::fchownat(parent.get(), name.c_str(), user.uid + offset, user.gid + offset, AT_SYMLINK_NOFOLLOW) != 0) return;
  }
}

base::Result<std::vector<fs::path>> unpack_layers(NodeContext& node, Launch& launch) {
  if (launch.runner) return std::vector<fs::path>{node.runner.lower(launch.pod.builds)};
  std::vector<fs::path> out;
  for (const auto& [digest, archive] : launch.blobs) {
    launch.pulled = launch.pulled || !node.layers.has(digest);
    MAINSTAY_TRY(fs::path layer, node.layers.ensure(digest, archive));
    out.push_back(std::move(layer));
  }
  if (out.empty()) {
    // An image of no layers: the program, if any, comes from a volume.
    const fs::path empty = launch.bundle.directory / "empty";
    MAINSTAY_TRY_VOID(base::make_directories(empty, 0755));
    out.push_back(empty);
  }
  return out;
}

// Files every container gets: names, resolver, its last words.
base::Result<> add_standard_files(Launch& launch) {
  const fs::path& pod = launch.pod_directory;
  const auto bind = [&](const char* destination, const fs::path& source) {
    launch.spec.mounts.insert(launch.spec.mounts.begin(), {destination, "bind", source, {"bind", "rprivate", "rw"}});
  };
  bind("/etc/hosts", pod / "hosts");
  bind("/etc/hostname", pod / "hostname");
  bind("/etc/resolv.conf", pod / "resolv.conf");
  const fs::path message = launch.bundle.termination_log();
  MAINSTAY_TRY_VOID(write_light(message, "", 0666));
  const std::string where = at(launch.pod, launch.ref).termination_message_path;
  if (where.starts_with('/')) bind(where.c_str(), message);
  return {};
}

base::Result<> add_build_storage(NodeContext& node, Launch& launch) {
  fs::path storage = launch.bundle.directory / "storage";
  if (!launch.pod.build_cache.empty()) {
    if (auto named = base::check_dns_subdomain(launch.pod.build_cache); !named)
      return fail(ErrorCode::kInvalid, fmt::format("annotation {}: {}", kBuildCacheAnnotation, named.error().message));
    storage = node.config.dir("cache") / launch.pod.ns / launch.pod.build_cache;
    MAINSTAY_TRY_VOID(base::make_directories(node.config.dir("cache"), 0711));
    MAINSTAY_TRY_VOID(base::make_directories(storage.parent_path(), 0711));
  }
  MAINSTAY_TRY_VOID(base::make_directories(storage, 0700));
  if (::chown(storage.c_str(), kUserNamespaceBase, kUserNamespaceBase) != 0) return errno_error("build cache");
  // Its own mount also without a cache: an overlay cannot lie on an overlay.
  launch.spec.mounts.push_back(
      {"/var/lib/containers", "bind", storage, {"rbind", "rprivate", "rw", "nosuid", "nodev"}});
  launch.spec.mounts.push_back({"/run", "tmpfs", "tmpfs", {"nosuid", "nodev", "mode=755"}});
  launch.spec.mounts.push_back({"/root", "tmpfs", "tmpfs", {"nosuid", "nodev", "mode=700", "size=64m"}});
  return {};
}

base::Result<> finish_spec(NodeContext& node, Launch& launch) {
  SpecInput& spec = launch.spec;
  MAINSTAY_TRY(spec.user, resolve_user(launch.bundle.rootfs(), launch.image, spec.security));
  for (std::uint32_t group : spec.security.supplemental_groups) spec.user.groups.push_back(group);
  if (spec.security.fs_group) spec.user.groups.push_back(static_cast<std::uint32_t>(*spec.security.fs_group));
  if (!spec.env.contains("HOME")) spec.env["HOME"] = spec.user.home;
  make_working_directory(launch.bundle.rootfs(), spec.cwd, spec.user, launch.pod.builds ? kUserNamespaceBase : 0);
  MAINSTAY_TRY(auto mounts, container_mounts(launch.pod, launch.volumes, at(launch.pod, launch.ref),
                                             launch.pod_directory, spec.env));
  spec.mounts.insert(spec.mounts.end(), mounts.begin(), mounts.end());
  if (launch.runner) {
    const auto more = node.runner.mounts();
    spec.mounts.insert(spec.mounts.end(), more.begin(), more.end());
  }
  if (launch.pod.builds) MAINSTAY_TRY_VOID(add_build_storage(node, launch));
  MAINSTAY_TRY_VOID(add_standard_files(launch));
  spec.rootfs = launch.bundle.rootfs();
  return write_light(launch.bundle.directory / "config.json", base::to_json(oci_config(spec, node.capabilities)));
}

// Where the time of a start goes, for --log-level debug.
class Stopwatch {
 public:
  void lap(const char* name) {
    const auto now = std::chrono::steady_clock::now();
    laps_ += fmt::format(" {} {:.1f} ms", name, std::chrono::duration<double, std::milli>(now - last_).count());
    last_ = now;
  }
  const std::string& laps() const { return laps_; }

 private:
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
  std::string laps_;
};

base::Result<> create(NodeContext& node, Launch& launch) {
  Stopwatch watch;
  if (launch.pod.builds && !launch.runner)
    return fail(ErrorCode::kInvalid,
                fmt::format("pods annotated {} run the image {} only", kBuildsAnnotation, kRunnerImage));
  if (launch.pod.builds && !node.runtime.user_namespaces())
    return fail(ErrorCode::kUnavailable, "builds need crun, which is not installed: apt-get install crun");
  MAINSTAY_TRY_VOID(base::make_directories(launch.bundle.directory, 0711));
  BundleState state{launch.id, launch.image_id, std::nullopt, std::nullopt};
  MAINSTAY_TRY_VOID(launch.bundle.write(state));
  MAINSTAY_TRY(const auto layers, unpack_layers(node, launch));
  watch.lap("layers");
  launch.step = Launch::Step::kPrepare;
  MAINSTAY_TRY_VOID(mount_root(launch.bundle, layers, launch.pod.builds ? kUserNamespaceBase : 0));
  MAINSTAY_TRY_VOID(finish_spec(node, launch));
  watch.lap("root and files");
  launch.step = Launch::Step::kRun;
  const ContainerSpec& container = at(launch.pod, launch.ref);
  ContainerRuntime::Create how{launch.id,     launch.bundle.directory, launch.bundle.log(),
                               container.tty, container.stdin_open,    base::get_bool(*container.source, "stdinOnce")};
  MAINSTAY_TRY([[maybe_unused]] const pid_t pid, node.runtime.create(how));
  watch.lap("create");
  base::log::debug("compute", "container {} of {}/{}:{}", launch.id, launch.pod.ns, launch.pod.name, watch.laps());
  return {};
}

base::Result<BundleState> start(NodeContext& node, Launch& launch) {
  MAINSTAY_TRY_VOID(node.runtime.start(launch.id));
  const BundleState state{launch.id, launch.image_id, node.now(), std::nullopt};
  MAINSTAY_TRY_VOID(launch.bundle.write(state));
  return state;
}

template <class R>
R or_remove(NodeContext& node, Launch& launch, R result) {
  if (!result) discard_container(node, launch);
  return result;
}

}  // namespace

base::Result<ProcessUser> resolve_user(const fs::path& rootfs, const ImageConfig& image, const Security& security) {
  Fd root(::open(rootfs.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  const std::string passwd = read_in_root(root.get(), "etc/passwd"), group = read_in_root(root.get(), "etc/group");
  std::string wanted = image.user;
  if (security.run_as_user) wanted = std::to_string(*security.run_as_user);
  MAINSTAY_TRY(ProcessUser user, find_user(wanted, passwd, group));
  if (security.run_as_group) user.gid = static_cast<std::uint32_t>(*security.run_as_group);
  if (security.run_as_non_root && user.uid == 0)
    return fail(ErrorCode::kInvalid,
                "container has runAsNonRoot and image will run as root; set securityContext.runAsUser");
  return user;
}

base::Result<> create_container(NodeContext& node, Launch& launch) {
  return or_remove(node, launch, create(node, launch));
}

base::Result<BundleState> start_container(NodeContext& node, Launch& launch) {
  return or_remove(node, launch, start(node, launch));
}

void discard_container(NodeContext& node, Launch& launch) {
  node.runtime.remove(launch.id);
  strip_bundle(launch.bundle);
}

}  // namespace mainstay::compute
