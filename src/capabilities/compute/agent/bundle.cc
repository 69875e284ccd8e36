#include "capabilities/compute/agent/bundle.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "base/files.h"
#include "capabilities/compute/fs.h"
#include "capabilities/compute/pod/status.h"

namespace mainstay::compute {
namespace fs = std::filesystem;
namespace {

// mount(2) takes one page of options; deep images need the newer calls, which take one layer at a time.
constexpr std::size_t kMaxOptions = 4000;

base::Result<> mount_many_layers(const std::vector<std::string>& lower, const fs::path& upper, const fs::path& work,
                                 const fs::path& target) {
  Fd context(::fsopen("overlay", FSOPEN_CLOEXEC));
  if (!context.ok()) return errno_error("overlay");
  const auto set = [&](const char* key, const std::string& value) {
    return ::fsconfig(context.get(), FSCONFIG_SET_STRING, key, value.c_str(), 0) == 0;
  };
  for (const std::string& layer : lower) {
    if (!set("lowerdir+", layer)) return errno_error("overlay of an image with many layers (needs Linux 6.5)");
  }
  if (!set("upperdir", upper) || !set("workdir", work) ||
      ::fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0)
    return errno_error("overlay");
  Fd mounted(::fsmount(context.get(), FSMOUNT_CLOEXEC, 0));
  if (!mounted.ok() || ::move_mount(mounted.get(), "", AT_FDCWD, target.c_str(), MOVE_MOUNT_F_EMPTY_PATH) != 0)
    return errno_error("overlay");
  return {};
}

json::value time_json(const std::optional<base::SystemTime>& time) {
  return time ? json::value(base::rfc3339_micro(*time)) : json::value(nullptr);
}

}  // namespace

std::optional<BundleState> Bundle::read() const {
  auto parsed = base::parse_json(slurp(directory / "state.json"));
  if (!parsed || base::get_string(*parsed, "id").empty()) return std::nullopt;
  BundleState out;
  out.id = base::get_string(*parsed, "id");
  out.image_id = base::get_string(*parsed, "image");
  if (auto time = base::parse_rfc3339(base::get_string(*parsed, "started"))) out.started = *time;
  if (const json::value* ended = base::find(*parsed, "ended"); ended != nullptr && ended->is_object())
    out.ended = read_termination(*ended);
  return out;
}

base::Result<> Bundle::write(const BundleState& state) const {
  json::object out{{"id", state.id}, {"image", state.image_id}, {"started", time_json(state.started)}};
  if (state.ended) out["ended"] = write_termination(*state.ended);
  return write_light(directory / "state.json", base::to_json(out));
}

Bundle bundle_of(const fs::path& pod_directory, std::string_view container, int attempt) {
  return {pod_directory / "containers" / container / std::to_string(attempt), attempt};
}

std::vector<Bundle> bundles_of(const fs::path& pod_directory, std::string_view container) {
  std::vector<Bundle> out;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(pod_directory / "containers" / container, ignored)) {
    const std::string name = entry.path().filename();
    int attempt = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), attempt);
    if (error != std::errc() || end != name.data() + name.size() || !entry.is_directory(ignored)) continue;
    out.push_back({entry.path(), attempt});
  }
  std::ranges::sort(out, {}, &Bundle::attempt);
  return out;
}

std::optional<PodRecord> read_pod_record(const fs::path& pod_directory) {
  auto parsed = base::parse_json(slurp(pod_directory / "pod.json"));
  if (!parsed) return std::nullopt;
  return PodRecord{base::get_string(*parsed, "namespace"),
                   base::get_string(*parsed, "name"),
                   {base::get_string(*parsed, "netns"), base::get_string(*parsed, "ip")}};
}

base::Result<> write_pod_record(const fs::path& pod_directory, const PodRecord& record) {
  return write_light(
      pod_directory / "pod.json",
      base::to_json(json::object{
          {"namespace", record.ns}, {"name", record.name}, {"netns", record.net.name}, {"ip", record.net.ip}}));
}

base::Result<> mount_root(const Bundle& bundle, const std::vector<fs::path>& layers, uid_t owner) {
  const fs::path upper = bundle.directory / "upper", work = bundle.directory / "work", target = bundle.rootfs();
  for (const fs::path& dir : {upper, work, target}) MAINSTAY_TRY_VOID(base::make_directories(dir, 0755));
  ::chmod(upper.c_str(), 0755);
  if (owner != 0 && ::chown(upper.c_str(), owner, owner) != 0) return errno_error("container root");
  std::vector<std::string> lower;  // overlayfs wants the topmost first
  for (auto it = layers.rbegin(); it != layers.rend(); ++it) lower.push_back(it->string());
  std::string options = "lowerdir=";
  for (std::size_t i = 0; i < lower.size(); ++i) options += (i == 0 ? "" : ":") + lower[i];
  options += ",upperdir=" + upper.string() + ",workdir=" + work.string();
  if (options.size() > kMaxOptions) return mount_many_layers(lower, upper, work, target);
  if (::mount("overlay", target.c_str(), "overlay", 0, options.c_str()) != 0)
    return errno_error("cannot mount the container's root " + target.string());
  return {};
}

void strip_bundle(const Bundle& bundle) {
  unmount_below(bundle.directory);
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(bundle.directory, ignored)) {
    const std::string name = entry.path().filename();
    if (name != "state.json" && name != "termination-log" && name != "kept") fs::remove_all(entry.path(), ignored);
  }
}

}  // namespace mainstay::compute
