// PersistentVolumeClaims of storage class `local`: a directory DIR/volumes/<uid> each, made at once, kept until the
// claim is deleted and no pod uses it any more.
#pragma once
#include "capabilities/compute/pod/environment.h"
#include "platform/host.h"

namespace mainstay::compute {

inline const client::Resource kVolumeClaims{"", "v1", "persistentvolumeclaims", true, "PersistentVolumeClaim"};

void register_volume_claims(platform::Host& host);

// Names of the claims that the pod's volumes are of.
std::vector<std::string> claims_of(const json::value& pod);
// The directory behind a pod's volume of a claim, from the pod's own directory; kNotFound while it is not bound.
base::Result<std::filesystem::path> claim_directory(const std::filesystem::path& pod_directory,
                                                    const json::value& volume, const EnvironmentSources& sources);

}  // namespace mainstay::compute
