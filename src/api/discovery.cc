// What is served, as clients discover it: APIGroupList, APIResourceList, and both at once (aggregated discovery).
#include "api/verbs.h"

namespace mainstay::api {
namespace json = base::json;
namespace {

json::array strings(const auto& values) {
  json::array out;
  for (const std::string& value : values) out.push_back(json::value(value));
  return out;
}

// What a subresource that the object verbs serve themselves answers with, and to which verbs.
struct SubresourceInfo {
  std::string group, version, kind;
  json::array verbs;
};
SubresourceInfo info_of(const Type& type, const std::string& subresource) {
  if (subresource == "scale") return {"autoscaling", "v1", "Scale", {"get", "patch", "update"}};
  if (subresource == "finalize") return {type.group, type.version, type.kind, {"update"}};
  return {type.group, type.version, type.kind, {"get", "patch", "update"}};
}

json::object resource_entry(const Type& type) {
  json::object out{{"name", type.plural},
                   {"singularName", type.singular},
                   {"namespaced", type.namespaced},
                   {"kind", type.kind},
                   {"verbs", strings(type.verbs)}};
  if (!type.short_names.empty()) out["shortNames"] = strings(type.short_names);
  if (!type.categories.empty()) out["categories"] = strings(type.categories);
  return out;
}

json::object aggregated_resource(const Type& type) {
  json::object out{
      {"resource", type.plural},
      {"responseKind", json::object{{"group", type.group}, {"version", type.version}, {"kind", type.kind}}},
      {"scope", type.namespaced ? "Namespaced" : "Cluster"},
      {"singularResource", type.singular},
      {"verbs", strings(type.verbs)}};
  if (!type.short_names.empty()) out["shortNames"] = strings(type.short_names);
  if (!type.categories.empty()) out["categories"] = strings(type.categories);
  json::array under;
  for (const std::string& name : type.subresources) {
    SubresourceInfo info = info_of(type, name);
    under.push_back(json::object{
        {"subresource", name},
        {"responseKind", json::object{{"group", info.group}, {"version", info.version}, {"kind", info.kind}}},
        {"verbs", std::move(info.verbs)}});
  }
  if (!under.empty()) out["subresources"] = std::move(under);
  return out;
}

// Groups with their versions, in the order of all(): by group.
std::map<std::string, std::map<std::string, std::vector<const Type*>>> by_group(const TypeRegistry& types) {
  std::map<std::string, std::map<std::string, std::vector<const Type*>>> out;
  for (const Type* type : types.all()) out[type->group][type->version].push_back(type);
  return out;
}

}  // namespace

json::value discovery_groups(const TypeRegistry& types) {
  json::array groups;
  for (const auto& [group, versions] : by_group(types)) {
    if (group.empty()) continue;  // the core group is found below /api
    json::array list;
    for (const auto& [version, unused] : versions) {
      list.push_back(json::object{{"groupVersion", group + "/" + version}, {"version", version}});
    }
    const json::value preferred = list[0];
    groups.push_back(json::object{{"name", group}, {"versions", std::move(list)}, {"preferredVersion", preferred}});
  }
  return json::object{{"kind", "APIGroupList"}, {"apiVersion", "v1"}, {"groups", std::move(groups)}};
}

json::value discovery_resources(const TypeRegistry& types, std::string_view group, std::string_view version) {
  json::array resources;
  for (const Type* type : types.all()) {
    if (type->group != group || type->version != version) continue;
    resources.push_back(resource_entry(*type));
    for (const std::string& name : type->subresources) {
      SubresourceInfo info = info_of(*type, name);
      json::object entry{{"name", type->plural + "/" + name},
                         {"singularName", ""},
                         {"namespaced", type->namespaced},
                         {"kind", info.kind},
                         {"verbs", std::move(info.verbs)}};
      if (info.group != type->group) {
        entry["group"] = info.group;
        entry["version"] = info.version;
      }
      resources.push_back(std::move(entry));
    }
  }
  const std::string group_version =
      group.empty() ? std::string(version) : std::string(group) + "/" + std::string(version);
  return json::object{{"kind", "APIResourceList"},
                      {"apiVersion", "v1"},
                      {"groupVersion", group_version},
                      {"resources", std::move(resources)}};
}

json::value discovery_aggregated(const TypeRegistry& types, bool core) {
  json::array items;
  for (const auto& [group, versions] : by_group(types)) {
    if (group.empty() != core) continue;
    json::array list;
    for (const auto& [version, members] : versions) {
      json::array resources;
      for (const Type* type : members) resources.push_back(aggregated_resource(*type));
      list.push_back(json::object{{"version", version}, {"resources", std::move(resources)}, {"freshness", "Current"}});
    }
    json::object metadata;
    if (!group.empty()) metadata["name"] = group;
    items.push_back(json::object{{"metadata", std::move(metadata)}, {"versions", std::move(list)}});
  }
  return json::object{{"kind", "APIGroupDiscoveryList"},
                      {"apiVersion", "apidiscovery.k8s.io/v2"},
                      {"metadata", json::object()},
                      {"items", std::move(items)}};
}

}  // namespace mainstay::api
