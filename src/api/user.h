// Who makes a request, and what it wants to do: the words authentication, authorization, admission and audit share.
#pragma once
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace mainstay::api {

struct UserInfo {
  std::string name = "system:anonymous";  // "ann", "system:serviceaccount:shop:pipeline"
  std::string uid;
  std::vector<std::string> groups;                        // "system:authenticated", "mainstay:admins", "team:shop"
  std::map<std::string, std::vector<std::string>> extra;  // "mainstay.dev/workflow-run": of a job's token
  bool in_group(std::string_view group) const;
  bool anonymous() const { return name == "system:anonymous"; }
};
inline constexpr std::string_view kAdminGroup = "mainstay:admins";   // bound to cluster-admin
inline constexpr std::string_view kMastersGroup = "system:masters";  // the platform's own services: always allowed

// Kubernetes' authorization attributes. A non-resource request has `path` and no resource.
struct Attributes {
  std::string verb;  // get list watch create update patch delete deletecollection; lower-case method for paths
  std::string group, resource, subresource, ns, name;
  std::string path;
};

struct Decision {
  bool allowed = false;
  std::string reason;  // which binding allowed it, or what is missing
};

}  // namespace mainstay::api
