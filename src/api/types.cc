#include "api/types.h"

#include <fmt/format.h>

#include "api/json_path.h"
#include "api/printers.h"
#include "api/protobuf.h"
#include "api/schema_loader.h"
#include "base/strings.h"
#include "base/yaml.h"

namespace mainstay::api {
namespace json = base::json;
using base::ErrorCode;
using base::fail;
using base::Result;

struct TypeRegistry::Raw {
  std::string file;
  json::value schema;
  std::unique_ptr<Type> type;
  bool refuses_unknown = false;
};

namespace {

std::unexpected<base::Error> bad(std::string_view file, std::string_view why) {
  return fail(ErrorCode::kInvalid, fmt::format("{}: {}", file, why));
}

constexpr std::string_view kAllVerbs[] = {"create", "delete", "deletecollection", "get",
                                          "list",   "patch",  "update",           "watch"};

// Reads one type file's keys; `schema` is left for resolve().
class TypeReader {
 public:
  TypeReader(std::string_view file, const json::object& source) : file_(file), source_(source) {}

  Result<std::unique_ptr<Type>> read() {
    auto type = std::make_unique<Type>();
    for (const auto& member : source_) MAINSTAY_TRY_VOID(read_key(member.key(), member.value(), *type));
    if (type->version.empty()) return bad(file_, "version is missing");
    if (type->kind.empty()) return bad(file_, "kind is missing");
    if (type->plural.empty()) return bad(file_, "plural is missing");
    if (!source_.contains("schema")) return bad(file_, "schema is missing");
    if (type->singular.empty()) type->singular = base::lower(type->kind);
    if (type->verbs.empty()) type->verbs.insert(std::begin(kAllVerbs), std::end(kAllVerbs));
    if (!source_.contains("columns"))
      type->columns.push_back({"Age", "date", ".metadata.creationTimestamp", "", "", 0});
    if (!source_.contains("generation")) type->counts_generation = type->has_status();
    type->selectable_fields.insert("metadata.name");
    if (type->namespaced) type->selectable_fields.insert("metadata.namespace");
    return type;
  }

 private:
  Result<> read_key(std::string_view key, const json::value& value, Type& type) {
    if (key == "group") return text(key, value, type.group);
    if (key == "version") return text(key, value, type.version);
    if (key == "kind") return text(key, value, type.kind);
    if (key == "plural") return text(key, value, type.plural);
    if (key == "singular") return text(key, value, type.singular);
    if (key == "description") return text(key, value, type.description);
    if (key == "shortNames") return texts(key, value, type.short_names);
    if (key == "categories") return texts(key, value, type.categories);
    if (key == "namespaced") return flag(key, value, type.namespaced);
    if (key == "sealed") return flag(key, value, type.sealed);
    if (key == "generation") return flag(key, value, type.counts_generation);
    if (key == "unknownFields") {
      const bool refuse = value.is_string() && value.get_string() == "refuse";
      return refuse ? Result<>{} : bad(file_, "unknownFields must be refuse, or not there");
    }
    if (key == "subresources") return texts(key, value, type.subresources);
    if (key == "selectableFields") return texts(key, value, type.selectable_fields);
    if (key == "verbs") return verbs(value, type);
    if (key == "columns") return columns(value, type);
    if (key == "schema") return {};
    return bad(file_, fmt::format("unknown key {}", key));
  }

  Result<> text(std::string_view key, const json::value& value, std::string& out) {
    if (!value.is_string()) return bad(file_, fmt::format("{} must be a string", key));
    out = value.get_string();
    return {};
  }
  Result<> flag(std::string_view key, const json::value& value, bool& out) {
    if (!value.is_bool()) return bad(file_, fmt::format("{} must be true or false", key));
    out = value.get_bool();
    return {};
  }
  template <class Container>
  Result<> texts(std::string_view key, const json::value& value, Container& out) {
    if (!value.is_array()) return bad(file_, fmt::format("{} must be a list of strings", key));
    for (const json::value& item : value.get_array()) {
      if (!item.is_string()) return bad(file_, fmt::format("{} must be a list of strings", key));
      out.insert(out.end(), std::string(item.get_string()));
    }
    return {};
  }
  Result<> verbs(const json::value& value, Type& type) {
    MAINSTAY_TRY_VOID(texts("verbs", value, type.verbs));
    for (const std::string& verb : type.verbs) {
      if (std::ranges::find(kAllVerbs, verb) == std::end(kAllVerbs)) {
        return bad(file_, fmt::format("verbs: unknown verb {}", verb));
      }
    }
    return {};
  }
  Result<> columns(const json::value& value, Type& type) {
    if (!value.is_array()) return bad(file_, "columns must be a list");
    for (std::size_t i = 0; i < value.get_array().size(); ++i) {
      const json::value& item = value.get_array()[i];
      const std::string where = fmt::format("columns[{}]", i);
      if (!item.is_object()) return bad(file_, where + " must be an object");
      Column column;
      for (const auto& [key, field] : item.get_object()) {
        const std::string at = where + "." + std::string(key);
        if (key == "priority" && field.is_int64()) {
          column.priority = static_cast<int>(field.get_int64());
          continue;
        }
        std::string* target = key == "name"          ? &column.name
                              : key == "type"        ? &column.type
                              : key == "jsonPath"    ? &column.json_path
                              : key == "description" ? &column.description
                              : key == "compute"     ? &column.compute
                                                     : nullptr;
        if (!target) return bad(file_, at + " is unknown or of the wrong type");
        MAINSTAY_TRY_VOID(text(at, field, *target));
      }
      if (column.name.empty() || column.type.empty()) return bad(file_, where + " needs name and type");
      if (column.json_path.empty() == column.compute.empty()) return bad(file_, where + " needs jsonPath or compute");
      if (!column.compute.empty() && !find_printer(column.compute)) {
        return bad(file_, fmt::format("{}.compute: there is no function {}", where, column.compute));
      }
      if (auto path = JsonPath::parse(column.json_path); !path) {
        return bad(file_, fmt::format("{}.jsonPath: {}", where, path.error().message));
      }
      type.columns.push_back(std::move(column));
    }
    return {};
  }

  std::string_view file_;
  const json::object& source_;
};

// The schema of the whole object: what the file says, and what every object has.
Result<std::shared_ptr<const Schema>> whole_object(SchemaLoader& loader, const Type& type, const json::value& source,
                                                   const std::string& file, bool refuses_unknown) {
  MAINSTAY_TRY(auto body, loader.load(source, file + ": schema"));
  if (body->type != "object") return bad(file, "schema.type must be object");
  auto whole = std::make_shared<Schema>(*body);
  for (const char* name : {"apiVersion", "kind"}) {
    auto text = std::make_shared<Schema>();
    text->type = "string";
    text->description =
        name == std::string_view("kind") ? "The kind of this object." : "Group and version of the kind.";
    whole->properties[name] = std::move(text);
  }
  MAINSTAY_TRY(auto metadata, loader.definition("ObjectMeta", file + ": metadata"));
  auto described = std::make_shared<Schema>(*metadata);
  described->description = "Name, labels and what else every object has.";
  whole->properties["metadata"] = std::move(described);
  whole->description = type.description;
  if (refuses_unknown) whole->additional = refused_member();
  return whole;
}

}  // namespace

TypeRegistry::TypeRegistry() : protobuf_(std::make_unique<ProtobufMessages>()) {}
TypeRegistry::~TypeRegistry() = default;
TypeRegistry::TypeRegistry(TypeRegistry&&) noexcept = default;

Result<> TypeRegistry::add_files(base::EmbeddedFiles files) {
  for (const base::EmbeddedFile& file : files) {
    auto parsed = base::parse_yaml(file.content);
    if (!parsed) return bad(file.path, parsed.error().message);
    if (!parsed->is_object()) return bad(file.path, "must be a YAML object: a type, or definitions");
    json::object& object = parsed->get_object();
    if (const json::value* messages = object.if_contains("protobuf")) {
      if (object.size() != 1 || !messages->is_object())
        return bad(file.path, "a protobuf file has the one key protobuf, an object");
      for (const auto& [name, fields] : messages->get_object())
        MAINSTAY_TRY_VOID(protobuf_->add(name, fields, std::string(file.path)));
      continue;
    }
    if (json::value* definitions = object.if_contains("definitions")) {
      if (object.size() != 1 || !definitions->is_object()) {
        return bad(file.path, "a definitions file has the one key definitions, an object");
      }
      for (auto& [name, schema] : definitions->get_object()) {
        if (!raw_definitions_.try_emplace(std::string(name), std::move(schema), std::string(file.path)).second) {
          return bad(file.path, fmt::format("definitions.{} is defined twice in the program", std::string_view(name)));
        }
      }
      continue;
    }
    MAINSTAY_TRY(auto type, TypeReader(file.path, object).read());
    for (const auto& other : raw_) {
      if (other->type->group == type->group && other->type->version == type->version &&
          (other->type->plural == type->plural || other->type->kind == type->kind)) {
        return bad(file.path,
                   fmt::format("{} {} is already defined by {}", type->api_version(), type->kind, other->file));
      }
    }
    raw_.push_back(std::make_shared<Raw>(
        Raw{std::string(file.path), std::move(object["schema"]), std::move(type), object.contains("unknownFields")}));
  }
  return {};
}

Result<> TypeRegistry::resolve() {
  MAINSTAY_TRY_VOID(protobuf_->check());
  SchemaLoader loader(raw_definitions_, definitions_);
  // Also those nobody uses yet: a fault in them is a fault now.
  for (const auto& [name, schema] : raw_definitions_) MAINSTAY_TRY_VOID(loader.definition(name, "definitions"));
  for (const auto& raw : raw_) {
    MAINSTAY_TRY(raw->type->schema, whole_object(loader, *raw->type, raw->schema, raw->file, raw->refuses_unknown));
    types_.push_back(std::move(raw->type));
  }
  raw_.clear();
  raw_definitions_.clear();
  std::ranges::sort(types_, [](const auto& a, const auto& b) {
    return std::tie(a->group, a->version, a->plural) < std::tie(b->group, b->version, b->plural);
  });
  return {};
}

const Type* TypeRegistry::find(std::string_view group, std::string_view version, std::string_view plural) const {
  for (const auto& type : types_) {
    if (type->plural == plural && type->group == group && type->version == version) return type.get();
  }
  return nullptr;
}

const Type* TypeRegistry::find_plural(std::string_view group, std::string_view plural) const {
  for (const auto& type : types_) {
    if (type->plural == plural && type->group == group) return type.get();
  }
  return nullptr;
}

const Type* TypeRegistry::find_kind(std::string_view api_version, std::string_view kind) const {
  for (const auto& type : types_) {
    if (type->kind == kind && type->api_version() == api_version) return type.get();
  }
  return nullptr;
}

std::vector<const Type*> TypeRegistry::all() const {
  std::vector<const Type*> out;
  for (const auto& type : types_) out.push_back(type.get());
  return out;
}

}  // namespace mainstay::api
