// A container's environment and the $(NAME) expansion of its command. Pure but for the lookup of referenced objects.
#pragma once
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "client/cache.h"

namespace mainstay::compute {
namespace json = boost::json;

using Variables = std::map<std::string, std::string>;

// Kubernetes' rule: $(NAME) is replaced where NAME is known, $$ is a dollar sign, anything else stays as it is.
std::string expand(std::string_view text, const Variables& known);

// Where values come from.
struct EnvironmentSources {
  std::function<client::ObjectPtr(std::string_view name)> config_map,
      secret,  // null: no such object (in the pod's namespace)
      volume_claim;
  const json::value* pod = nullptr;
  std::string pod_ip, host_ip, node_name;
  std::int64_t node_cpu_milli = 0, node_memory = 0;
};

// spec.containers[].envFrom and env over `known` (the image's and the platform's). Errors (kNotFound) name the missing
// object or key: the container waits with CreateContainerConfigError.
base::Result<Variables> environment(const json::value& container, const EnvironmentSources& sources, Variables known);

// A fieldRef's value ("metadata.labels['app']", "status.podIP"); nullopt where there is no such field.
std::optional<std::string> field_value(std::string_view path, const EnvironmentSources& sources);

// A ConfigMap's or Secret's value by key, decoded; nullopt where missing.
std::optional<std::string> config_map_value(const json::value& object, std::string_view key);
std::optional<std::string> secret_value(const json::value& object, std::string_view key);

}  // namespace mainstay::compute
