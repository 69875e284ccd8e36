// From the JSON of a schema (types.h documents the format) to resolved Schema nodes. Internal to api/.
#pragma once
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>

#include "api/types.h"
#include "base/json.h"
#include "base/result.h"

namespace mainstay::api {

// One resolution run over all definitions of the program. Definitions are resolved once and shared by their users.
class SchemaLoader {
 public:
  using RawDefinitions = std::map<std::string, RawDefinition>;
  using Definitions = std::map<std::string, std::shared_ptr<const Schema>>;
  SchemaLoader(const RawDefinitions& raw, Definitions& resolved) : raw_(raw), resolved_(resolved) {}

  // `where` is the path named in errors ("schemas/pod.yaml: schema.properties.spec").
  base::Result<std::shared_ptr<const Schema>> load(const base::json::value& node, const std::string& where);
  base::Result<std::shared_ptr<const Schema>> definition(const std::string& name, const std::string& where);

 private:
  base::Result<> read_keys(const base::json::object& node, const std::string& where, Schema& out);
  base::Result<> read_children(const base::json::object& node, const std::string& where, Schema& out);

  const RawDefinitions& raw_;
  Definitions& resolved_;
  std::set<std::string> in_progress_;
};

}  // namespace mainstay::api
