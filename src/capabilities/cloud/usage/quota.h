// ResourceQuota: what a namespace holds by the names a quota may use, and admission of what would go over it.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "api/admission.h"
#include "base/clock.h"
#include "base/result.h"
#include "client/cache.h"
#include "platform/host.h"

namespace mainstay::cloud {
namespace json = boost::json;

// By a quota's names, all in thousandths (cores, bytes, counts alike), so that they add up.
using Holdings = std::map<std::string, std::int64_t, std::less<>>;

// What one object takes: of its resource ("pods", group ""), and of what it asks for.
Holdings holdings_of(const std::string& plural, const std::string& group, const json::value& object);
// The names of `hard` that this program cannot count: a quota that names one is refused rather than ignored.
std::vector<std::string> unknown_names(const json::value& quota);
// Why `more` on top of `used` goes over the quota; "" where it fits. Also where a limited resource is not asked for, as
// Kubernetes has it: what is not declared cannot be counted.
std::string over_quota(const json::value& quota, const Holdings& used, const Holdings& more);
// A change that was let in and may not be in the caches yet.
struct Pending {
  std::string ns, plural, group, name;
  Holdings more;   // than the caches count
  Holdings whole;  // what the object holds with it, where it was there before
  base::SystemTime until;
  bool same_object(const Pending& other) const {
    return ns == other.ns && plural == other.plural && group == other.group && name == other.name;
  }
};
// Whether the cache's object (null where it has none) already counts it.
bool is_known(const Pending& pending, const json::value* object);
// status.used: the names of `hard` with what is taken of them.
json::object used_json(const json::value& quota, const Holdings& used);

// The admission plug-in, and the controller that writes ResourceQuota.status.
void add_quotas(platform::Host& host);

}  // namespace mainstay::cloud
