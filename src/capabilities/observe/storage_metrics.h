// What claims and volumes hold: mainstay_claim_…, and the kubelet's names for volumes. Pure, but for what it reads.
#pragma once
#include <string>

#include "client/cache.h"
#include "platform/interfaces/usage.h"

namespace mainstay::observe {

std::string storage_metrics(const platform::StorageUsage& usage, const client::Cache& namespaces);

}  // namespace mainstay::observe
