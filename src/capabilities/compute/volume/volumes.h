// A pod's volumes on this machine, below DIR/pods/<uid>, and the mounts a container gets of them. Blocking: pool
// threads.
#pragma once
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "capabilities/compute/oci/spec.h"
#include "capabilities/compute/pod/pod_spec.h"
#include "capabilities/compute/volume/files.h"

namespace mainstay::compute {

// All the volumes of a pod: its own and, unless it declines, the one with its service account's token.
std::vector<json::value> volumes_of(const PodSpec& spec, bool with_token);

// Makes what is missing and writes the files anew where they differ: for a new pod, after a restart, and when a
// ConfigMap or Secret changed. `sources` must be usable from this thread (copies, no caches).
base::Result<> prepare_volumes(const PodSpec& spec, const std::vector<json::value>& volumes,
                               const std::filesystem::path& pod_directory, const EnvironmentSources& sources,
                               const Tokens& tokens, std::string_view ca_certificate);

// volumeMounts of a container, and the token's directory. `variables` for subPathExpr.
base::Result<std::vector<Mount>> container_mounts(const PodSpec& spec, const std::vector<json::value>& volumes,
                                                  const ContainerSpec& container,
                                                  const std::filesystem::path& pod_directory,
                                                  const Variables& variables);

// Names of the ConfigMaps or Secrets (`kind`) that the pod's volumes show, and those its containers' environment is
// made of.
std::set<std::string> mounted_objects(const PodSpec& spec, std::string_view kind);
std::set<std::string> referenced_objects(const PodSpec& spec, std::string_view kind);

}  // namespace mainstay::compute
