// Everything needed to start one container, gathered on the loop and used on a pool thread.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "capabilities/compute/agent/bundle.h"
#include "capabilities/compute/agent/context.h"
#include "capabilities/compute/image/image_config.h"
#include "capabilities/compute/oci/spec.h"
#include "capabilities/compute/pod/pod_spec.h"

namespace mainstay::compute {

struct Launch {
  PodSpec pod;
  ContainerRef ref;
  Bundle bundle;
  std::filesystem::path pod_directory;
  std::string id, image_id;
  ImageConfig image;
  bool runner = false;
  std::vector<std::pair<std::string, std::filesystem::path>> blobs;  // layers' digests and archives, lowest first
  std::vector<json::value> volumes;
  SpecInput spec;
  // How far it came, for the reason users see.
  enum class Step { kImage, kPrepare, kRun } step = Step::kImage;
  bool pulled = false;  // layers had to be unpacked
};

// Unpacks what is missing, mounts the root, writes config.json and creates the container, of which nothing runs yet;
// then starts it. On failure nothing of it is left but its directory. Blocking.
base::Result<> create_container(NodeContext& node, Launch& launch);
base::Result<BundleState> start_container(NodeContext& node, Launch& launch);
void discard_container(NodeContext& node, Launch& launch);  // created, but not to be started

// The user a container runs as, by the image's own files below `rootfs`.
base::Result<ProcessUser> resolve_user(const std::filesystem::path& rootfs, const ImageConfig& image,
                                       const Security& security);

}  // namespace mainstay::compute
