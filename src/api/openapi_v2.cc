// The Swagger 2.0 document of all types: kubectl before 1.24 explains and checks with it, later ones fall back on it.
#include "api/openapi.h"
#include "api/verbs.h"

namespace mainstay::api {
namespace json = base::json;

json::value openapi_v2(const TypeRegistry& types) {
  const OpenApiWriter writer(types, OpenApiVersion::kV2);
  json::object paths;
  for (const Type* type : types.all()) writer.add_paths(*type, paths);
  return json::object{{"swagger", "2.0"},
                      {"info", json::object{{"title", "Mainstay"}, {"version", "v1"}}},
                      {"paths", std::move(paths)},
                      {"definitions", writer.definitions(types.all())}};
}

}  // namespace mainstay::api
