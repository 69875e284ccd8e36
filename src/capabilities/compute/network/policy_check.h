// What the schema cannot say of a NetworkPolicy, as Kubernetes checks it. A part that would be passed over when the
// firewall is made (an exception that is no block, a range without a beginning) would let in more than was written.
#pragma once
#include <vector>

#include "api/admission.h"
#include "base/json.h"
#include "base/status.h"

namespace mainstay::compute {
namespace json = boost::json;

std::vector<base::Cause> network_policy_faults(const json::value& policy);
api::AdmissionPlugin network_policy_admission();

}  // namespace mainstay::compute
