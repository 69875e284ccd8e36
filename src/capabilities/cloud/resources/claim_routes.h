// POST resourceclaims/{name}/backup and /restore.
#pragma once
#include <memory>

#include "capabilities/cloud/resources/claim_reconcile.h"

namespace mainstay::cloud {

void add_claim_routes(platform::Host& host, std::shared_ptr<ClaimReconciler> claims);

}  // namespace mainstay::cloud
