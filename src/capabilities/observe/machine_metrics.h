// The machine under node_exporter's names, and pods and containers under cAdvisor's.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "client/cache.h"
#include "platform/interfaces/stats.h"

namespace mainstay::observe {

// From /proc and statvfs of the data directory. Blocking but short.
std::string node_metrics(const std::filesystem::path& data_dir);
// When certificates end: mainstay_certificate_expiry_timestamp_seconds{name}. Blocking but short.
std::string certificate_metrics(const std::filesystem::path& data_dir);
std::string container_metrics(const std::vector<platform::PodStats>& pods, const client::Cache& namespaces,
                              const client::Cache& pod_objects);

}  // namespace mainstay::observe
