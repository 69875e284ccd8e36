// System call filters (OCI runtime-spec, linux.seccomp).
#pragma once
#include "base/json.h"

namespace mainstay::compute {

// For ordinary containers: what would reach the kernel's administration, other processes' memory or a new user
// namespace is refused. Without CAP_SYS_ADMIN most of it fails anyway; a namespace of its own would give it back, hence
// the filter.
boost::json::object default_seccomp();
// For builds: buildah needs mount, unshare and chroot within its user namespace.
boost::json::object build_seccomp();

}  // namespace mainstay::compute
