// The KV engine (version 2) of the Vault API at /v1/secret/.
#pragma once
#include <memory>

#include "capabilities/secrets/kv_store.h"

namespace mainstay::secrets {

// Each route asks RBAC for a verb on secrets/kv (values) or secrets/metadata (names, times, versions) in the namespace
// of the team that the path begins with, and each request leaves a line in the audit log: path and version.
void add_kv_routes(platform::Host& host, std::shared_ptr<KvStore> store);

}  // namespace mainstay::secrets
