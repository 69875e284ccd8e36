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

// A type's file may say `unknownFields: refuse`: for kinds that restrict something, where a restriction that is dropped
// in silence lets in what it was to keep out. A field that the schema does not know is then an error whatever
// fieldValidation the client asks for. The schema of the whole object says so by its `additional`, which is this one:
// no value has it.
const std::shared_ptr<const Schema>& refused_member();
inline bool refuses_unknown(const Schema& whole) { return whole.additional == refused_member(); }

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
