// A container's place on disk: DIR/pods/<uid>/<container>/<attempt>/ and its log beside it. What is written here is
// enough to take the container up again after this program died at any instant. Blocking: pool threads.
#pragma once
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "capabilities/compute/network/pod_network.h"
#include "capabilities/compute/pod/state.h"

namespace mainstay::compute {

struct BundleState {
  std::string id, image_id;
  std::optional<base::SystemTime> started;  // set once the program runs; before that the container is only half made
  std::optional<Termination> ended;         // set once its end was taken note of
};

struct Bundle {
  std::filesystem::path directory;  // …/<container>/<attempt>
  int attempt = 0;
  std::filesystem::path log() const { return directory.parent_path() / (std::to_string(attempt) + ".log"); }
  std::filesystem::path rootfs() const { return directory / "rootfs"; }
  // There once all of the log is kept elsewhere.
  std::filesystem::path kept_mark() const { return directory / "kept"; }
  std::filesystem::path termination_log() const { return directory / "termination-log"; }
  std::optional<BundleState> read() const;
  base::Result<> write(const BundleState& state) const;
};

Bundle bundle_of(const std::filesystem::path& pod_directory, std::string_view container, int attempt);
// All attempts of a container that are on disk, oldest first.
std::vector<Bundle> bundles_of(const std::filesystem::path& pod_directory, std::string_view container);

// Who the pod is and its network: DIR/pods/<uid>/pod.json.
struct PodRecord {
  std::string ns, name;
  PodNet net;
};
std::optional<PodRecord> read_pod_record(const std::filesystem::path& pod_directory);
base::Result<> write_pod_record(const std::filesystem::path& pod_directory, const PodRecord& record);

// Mounts the container's root: image layers (lowest first) under a writable upper directory, owned by `owner`.
base::Result<> mount_root(const Bundle& bundle, const std::vector<std::filesystem::path>& layers, uid_t owner);
// Unmounts the root and removes all but the state, the termination message and the log.
void strip_bundle(const Bundle& bundle);

}  // namespace mainstay::compute
