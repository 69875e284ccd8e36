// OpenAPI 3.0, a document a group and version. The index gives each an address with the hash of its content, so that
// clients keep what they have read until it changes.
#include <fmt/format.h>

#include "api/openapi.h"
#include "api/verbs.h"
#include "crypto/digest.h"

namespace mainstay::api {
namespace json = base::json;

json::value openapi_v3(const TypeRegistry& types, std::string_view group, std::string_view version) {
  const OpenApiWriter writer(types, OpenApiVersion::kV3);
  std::vector<const Type*> members;
  json::object paths;
  for (const Type* type : types.all()) {
    if (type->group != group || type->version != version) continue;
    members.push_back(type);
    writer.add_paths(*type, paths);
  }
  return json::object{{"openapi", "3.0.0"},
                      {"info", json::object{{"title", "Mainstay"}, {"version", "v1"}}},
                      {"paths", std::move(paths)},
                      {"components", json::object{{"schemas", writer.definitions(members)}}}};
}

json::value openapi_v3_index(const TypeRegistry& types) {
  std::set<std::pair<std::string, std::string>> versions;
  for (const Type* type : types.all()) versions.emplace(type->group, type->version);
  json::object paths;
  for (const auto& [group, version] : versions) {
    const std::string path = group.empty() ? "api/" + version : fmt::format("apis/{}/{}", group, version);
    const std::string hash = crypto::sha256_hex(json::serialize(openapi_v3(types, group, version)));
    paths[path] = json::object{{"serverRelativeURL", fmt::format("/openapi/v3/{}?hash={}", path, hash.substr(0, 32))}};
  }
  return json::object{{"paths", std::move(paths)}};
}

}  // namespace mainstay::api
