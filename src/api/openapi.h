// What OpenAPI v2 and v3 documents share: names of definitions, schemas, operations. Internal to api/.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "api/types.h"
#include "base/json.h"

namespace mainstay::api {

enum class OpenApiVersion { kV2, kV3 };

class OpenApiWriter {
 public:
  OpenApiWriter(const TypeRegistry& types, OpenApiVersion version) : types_(types), version_(version) {}

  // "io.k8s.api.apps.v1.Deployment", as clients know Kubernetes' kinds.
  static std::string kind_name(const Type& type);
  static std::string definition_name(std::string_view definition);
  base::json::object reference(std::string_view name) const;
  // Schemas of the types, their lists, and of everything they lead to.
  base::json::object definitions(const std::vector<const Type*>& types) const;
  // Paths of one type with their operations.
  void add_paths(const Type& type, base::json::object& paths) const;

 private:
  struct Operation {
    std::string_view method, action;
    std::string summary;
    bool body = false, patch = false, list_result = false, deletes = false;
  };
  base::json::object schema_of(const Schema& schema) const;  // as it stands: a reference where it has a name
  base::json::object expanded(const Schema& schema) const;   // in full
  void collect(const Schema& schema, std::set<std::string>& used) const;
  base::json::object kind_schema(const Type& type) const;
  base::json::object list_schema(const Type& type) const;
  base::json::object operation(const Type& type, const Operation& what, std::string_view path,
                               const base::json::object& gvk, std::string_view body_name) const;
  base::json::array parameters(const Operation& what, std::string_view path, std::string_view body_name) const;
  bool is_shared(const Schema& schema) const;

  const TypeRegistry& types_;
  OpenApiVersion version_;
};

}  // namespace mainstay::api
