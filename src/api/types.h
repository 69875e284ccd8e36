// API types as data. A type file (schemas/*.yaml of a capability) reads:
//
//   group: apps            # "" for core
//   version: v1
//   kind: Deployment
//   plural: deployments
//   singular: deployment
//   shortNames: [deploy]
//   categories: [all]
//   namespaced: true
//   sealed: false          # true: encrypted at rest
//   subresources: [status, scale]
//   generation: true       # metadata.generation counts spec changes (default: where a status subresource exists)
//   selectableFields: [spec.nodeName, status.phase]      # beside metadata.name and metadata.namespace
//   verbs: [create]        # default: all; TokenReview and its like have create only and are not stored
//   columns:               # printer columns, as a CRD's additionalPrinterColumns; `compute:` names a built-in function
//     - {name: Ready, type: string, jsonPath: .status.readyReplicas}
//     - {name: Age, type: date, jsonPath: .metadata.creationTimestamp}
//   description: One sentence for kubectl explain.
//   schema:                # of everything but apiVersion, kind and metadata: structural OpenAPI v3
//     type: object
//     properties:
//       spec: {$ref: DeploymentSpec}
//
// and a definitions file (schemas/definitions*.yaml) holds `definitions: {DeploymentSpec: {type: object, …}}`, shared
// by all types of the program by name. Understood in schemas: type, properties, required, items, additionalProperties,
// enum, pattern, format, minimum, maximum, minLength, maxLength, minItems, maxItems, default, nullable, description,
// $ref, x-kubernetes-int-or-string, x-kubernetes-preserve-unknown-fields, x-kubernetes-list-type,
// x-kubernetes-list-map-keys, x-kubernetes-map-type, x-kubernetes-patch-merge-key, x-kubernetes-patch-strategy,
// x-kubernetes-immutable.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/embedded.h"
#include "base/json.h"
#include "base/result.h"

namespace mainstay::api {

struct Column {
  std::string name, type, json_path, description, compute;
  int priority = 0;
};

// A definition as read, before resolve().
struct RawDefinition {
  base::json::value schema;
  std::string file;
};

class ProtobufMessages;  // api/protobuf.h

// A compiled `pattern`. Kept opaque, so that only validate.cc and the loader see the regular expression library.
struct Pattern;

// A resolved schema node. Owned by its Type (shared where definitions are).
struct Schema {
  std::string type;  // object array string integer number boolean; "" for any
  std::string description, format, pattern;
  bool int_or_string = false, preserve_unknown = false, nullable = false, immutable = false;
  std::map<std::string, std::shared_ptr<const Schema>, std::less<>> properties;
  std::vector<std::string> required;
  std::shared_ptr<const Schema> items, additional;
  std::vector<base::json::value> enumeration;
  std::optional<base::json::value> default_value;
  std::optional<double> minimum, maximum;
  std::optional<std::size_t> min_length, max_length, min_items, max_items;
  std::string list_type;  // atomic (default), set, map
  std::vector<std::string> list_map_keys;
  std::string map_type;                    // granular (default), atomic
  std::string patch_merge_key;             // strategic merge patch
  std::string patch_strategy;              // "merge", "replace", "retainKeys", comma separated
  std::string definition;                  // the name under `definitions`, where it came by $ref
  std::shared_ptr<const Pattern> matcher;  // of `pattern`
  bool defaults_below = false;             // this node or one below has a default, or is normalised (quantities)
  // A list of objects merged by key, or a set: server-side apply tracks its items one by one.
  bool is_list_map() const { return list_type == "map"; }
  bool is_list_set() const { return list_type == "set"; }
  bool is_atomic() const { return type == "array" ? !is_list_map() && !is_list_set() : map_type == "atomic"; }
  // The schema of a member of an object; nullptr where it is not declared.
  const Schema* member(std::string_view name) const {
    const auto at = properties.find(name);
    return at != properties.end() ? at->second.get() : additional.get();
  }
};

struct Type {
  std::string group, version, kind, plural, singular, description;
  std::vector<std::string> short_names, categories;
  bool namespaced = true, sealed = false, counts_generation = false;
  std::set<std::string> subresources, verbs, selectable_fields;
  std::vector<Column> columns;
  std::shared_ptr<const Schema> schema;  // of the whole object, apiVersion, kind and metadata included
  std::string api_version() const { return group.empty() ? version : group + "/" + version; }
  std::string qualified() const { return group.empty() ? plural : plural + "." + group; }
  bool stored() const { return verbs.contains("get"); }
  bool has_status() const { return subresources.contains("status"); }
  std::string qualified_kind() const { return group.empty() ? kind : kind + "." + group; }  // "Deployment.apps"
};

class TypeRegistry {
 public:
  // Reads type and definitions files; definitions may come in any order, also after their use: resolve() ties them.
  TypeRegistry();
  ~TypeRegistry();
  TypeRegistry(TypeRegistry&&) noexcept;
  // Errors name the file and the path inside it.
  base::Result<> add_files(base::EmbeddedFiles files);
  // Once, after the last add_files().
  base::Result<> resolve();
  const Type* find(std::string_view group, std::string_view version, std::string_view plural) const;
  const Type* find_plural(std::string_view group, std::string_view plural) const;
  const Type* find_kind(std::string_view api_version, std::string_view kind) const;
  std::vector<const Type*> all() const;  // by group, then plural
  // How clients write the built-in kinds in protobuf; empty where no file said so.
  const ProtobufMessages& protobuf() const { return *protobuf_; }
  const std::map<std::string, std::shared_ptr<const Schema>>& definitions() const { return definitions_; }

 private:
  struct Raw;
  std::vector<std::shared_ptr<Raw>> raw_;
  std::map<std::string, RawDefinition> raw_definitions_;
  std::map<std::string, std::shared_ptr<const Schema>> definitions_;
  std::vector<std::unique_ptr<Type>> types_;
  std::unique_ptr<ProtobufMessages> protobuf_;
};

}  // namespace mainstay::api
