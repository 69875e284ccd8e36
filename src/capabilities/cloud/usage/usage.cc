#include "capabilities/cloud/usage/usage.h"

#include "capabilities/cloud/usage/quota.h"
#include "capabilities/cloud/usage/reports.h"

namespace mainstay::embedded {
base::EmbeddedFiles usage_files();
}

namespace mainstay::cloud {

void register_usage(platform::Host& host) {
  host.add_files(embedded::usage_files());
  add_quotas(host);
  add_reports(host);
}

}  // namespace mainstay::cloud
