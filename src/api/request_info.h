// What a request's path and headers ask for, in Kubernetes' terms. Pure functions, no state.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "net/http.h"

namespace mainstay::api {

// The parts of /api/v1/… and /apis/<group>/<version>/… below the version.
struct ObjectPath {
  std::string group, version, resource;
  std::string ns, name, subresource;
  std::string rest;  // after the subresource: pods/x/proxy/<rest>
};
// nullopt: not of that form (discovery documents included).
std::optional<ObjectPath> parse_object_path(std::string_view path);
// RBAC's verb; "" where the method has none on such a path (405).
std::string object_verb(std::string_view method, const ObjectPath& path, const net::Query& query);

// The form of the answer that Accept asks for.
enum class Form { kObject, kTable, kPartial };
struct Negotiated {
  Form form = Form::kObject;
  bool yaml = false;
  std::string as_version = "v1";  // of the meta.k8s.io group, or of aggregated discovery
  bool aggregated_discovery = false;
};
// nullopt: nothing we can write (406). `transformable`: tables and partial objects exist for this answer.
std::optional<Negotiated> negotiate(std::string_view accept, bool transformable);

enum class BodyKind { kJson, kYaml, kJsonPatch, kMergePatch, kStrategicPatch, kApplyPatch, kUnsupported };
BodyKind body_kind(std::string_view content_type);

// "true", "1" or present without a value.
bool flag(const net::Query& query, std::string_view name);

}  // namespace mainstay::api
