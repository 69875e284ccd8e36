#include "api/openapi.h"

#include <fmt/format.h>

#include "api/schema_loader.h"
#include "base/strings.h"

namespace mainstay::api {
namespace json = base::json;
namespace {

constexpr std::string_view kMeta = "io.k8s.apimachinery.pkg.apis.meta.v1.";
constexpr std::string_view kScale = "io.k8s.api.autoscaling.v1.Scale";

bool is_meta(std::string_view definition) {
  for (std::string_view name :
       {"ObjectMeta", "OwnerReference", "ManagedFieldsEntry", "LabelSelector", "LabelSelectorRequirement", "Condition",
        "ListMeta", "Status", "DeleteOptions", "Patch"}) {
    if (definition == name) return true;
  }
  return false;
}

json::object typed(std::string_view type, std::string_view description = "") {
  json::object out{{"type", type}};
  if (!description.empty()) out["description"] = description;
  return out;
}

json::array gvk_list(std::string_view group, std::string_view version, std::string_view kind) {
  return {json::object{{"group", group}, {"version", version}, {"kind", kind}}};
}

void put(json::object& out, std::string_view key, const std::string& value) {
  if (!value.empty()) out[key] = value;
}
template <class Number>
void put(json::object& out, std::string_view key, const std::optional<Number>& value) {
  if (value) out[key] = *value;
}

// Bounds as whole numbers where they are whole: 1, not 1E0.
void put_bound(json::object& out, std::string_view key, const std::optional<double>& value) {
  if (!value) return;
  if (*value == static_cast<double>(static_cast<std::int64_t>(*value))) {
    out[key] = static_cast<std::int64_t>(*value);
  } else {
    out[key] = *value;
  }
}

json::object list_meta() {
  return {{"type", "object"},
          {"description", "Metadata of a list."},
          {"properties",
           json::object{{"resourceVersion", typed("string", "The version the list is of; a watch starts from it.")},
                        {"continue", typed("string", "Where the next page begins; empty at the end.")},
                        {"remainingItemCount", json::object{{"type", "integer"}, {"format", "int64"}}},
                        {"selfLink", typed("string")}}}};
}

json::object status_schema() {
  return {{"type", "object"},
          {"description", "The answer to a request that gives no object."},
          {"properties",
           json::object{{"apiVersion", typed("string")},
                        {"kind", typed("string")},
                        {"status", typed("string", "Success or Failure.")},
                        {"reason", typed("string", "Why, in one word.")},
                        {"message", typed("string", "Why, in a sentence.")},
                        {"code", json::object{{"type", "integer"}, {"format", "int32"}}},
                        {"details", json::object{{"type", "object"}, {"x-kubernetes-preserve-unknown-fields", true}}}}},
          {"x-kubernetes-group-version-kind", gvk_list("", "v1", "Status")}};
}

json::object delete_options(json::array kinds) {
  return {
      {"type", "object"},
      {"description", "How an object is deleted."},
      {"properties", json::object{{"apiVersion", typed("string")},
                                  {"kind", typed("string")},
                                  {"gracePeriodSeconds", json::object{{"type", "integer"}, {"format", "int64"}}},
                                  {"propagationPolicy", typed("string", "Background, Foreground or Orphan.")},
                                  {"orphanDependents", typed("boolean")},
                                  {"dryRun", json::object{{"type", "array"}, {"items", typed("string")}}},
                                  {"preconditions",
                                   json::object{{"type", "object"},
                                                {"properties", json::object{{"uid", typed("string")},
                                                                            {"resourceVersion", typed("string")}}}}}}},
      {"x-kubernetes-group-version-kind", std::move(kinds)}};
}

}  // namespace

std::string OpenApiWriter::kind_name(const Type& type) {
  if (type.group.empty()) return fmt::format("io.k8s.api.core.{}.{}", type.version, type.kind);
  if (type.group.find('.') == std::string::npos)
    return fmt::format("io.k8s.api.{}.{}.{}", type.group, type.version, type.kind);
  if (type.group.ends_with(".k8s.io")) {
    return fmt::format("io.k8s.api.{}.{}.{}", type.group.substr(0, type.group.find('.')), type.version, type.kind);
  }
  std::string out;
  const auto parts = base::split(type.group, '.');
  for (std::size_t i = parts.size(); i-- > 0;) out += std::string(parts[i]) + ".";
  return out + type.version + "." + type.kind;
}

std::string OpenApiWriter::definition_name(std::string_view definition) {
  return fmt::format("{}{}", is_meta(definition) ? kMeta : "definitions.", definition);
}

json::object OpenApiWriter::reference(std::string_view name) const {
  return {
      {"$ref", fmt::format("#/{}/{}", version_ == OpenApiVersion::kV2 ? "definitions" : "components/schemas", name)}};
}

// Only objects are referred to by name: clients look for the merge keys of a list where the list stands.
bool OpenApiWriter::is_shared(const Schema& schema) const {
  return !schema.definition.empty() && schema.type == "object" && types_.definitions().contains(schema.definition);
}

json::object OpenApiWriter::schema_of(const Schema& schema) const {
  if (!is_shared(schema)) return expanded(schema);
  json::object out = reference(definition_name(schema.definition));
  const Schema& shared = *types_.definitions().at(schema.definition);
  if (&shared == &schema) return out;
  if (version_ == OpenApiVersion::kV3) out = json::object{{"allOf", json::array{std::move(out)}}};
  put(out, "description", schema.description);
  if (schema.default_value) out["default"] = *schema.default_value;
  put(out, "x-kubernetes-patch-strategy", schema.patch_strategy);
  return out;
}

json::object OpenApiWriter::expanded(const Schema& schema) const {
  json::object out;
  put(out, "description", schema.description);
  if (schema.int_or_string) {
    const bool quantity = schema.format == "quantity";
    if (version_ == OpenApiVersion::kV2) {
      out["type"] = "string";
    } else {
      out["oneOf"] =
          json::array{json::object{{"type", quantity ? "number" : "integer"}}, json::object{{"type", "string"}}};
    }
    if (!quantity) out["format"] = "int-or-string";
  } else {
    put(out, "type", schema.type);
    put(out, "format", schema.format);
  }
  put(out, "pattern", schema.pattern);
  put_bound(out, "minimum", schema.minimum);
  put_bound(out, "maximum", schema.maximum);
  put(out, "minLength", schema.min_length);
  put(out, "maxLength", schema.max_length);
  put(out, "minItems", schema.min_items);
  put(out, "maxItems", schema.max_items);
  if (schema.default_value) out["default"] = *schema.default_value;
  if (!schema.enumeration.empty()) out["enum"] = json::array(schema.enumeration.begin(), schema.enumeration.end());
  if (!schema.required.empty()) out["required"] = json::value_from(schema.required);
  if (!schema.properties.empty()) {
    json::object properties;
    for (const auto& [name, child] : schema.properties) properties[name] = schema_of(*child);
    out["properties"] = std::move(properties);
  }
  if (schema.additional && !refuses_unknown(schema)) out["additionalProperties"] = schema_of(*schema.additional);
  if (schema.items) out["items"] = schema_of(*schema.items);
  if (schema.preserve_unknown) out["x-kubernetes-preserve-unknown-fields"] = true;
  put(out, "x-kubernetes-list-type", schema.list_type);
  if (!schema.list_map_keys.empty()) out["x-kubernetes-list-map-keys"] = json::value_from(schema.list_map_keys);
  put(out, "x-kubernetes-map-type", schema.map_type);
  put(out, "x-kubernetes-patch-merge-key", schema.patch_merge_key);
  put(out, "x-kubernetes-patch-strategy", schema.patch_strategy);
  return out;
}

void OpenApiWriter::collect(const Schema& schema, std::set<std::string>& used) const {
  if (is_shared(schema) && !used.insert(schema.definition).second) return;
  for (const auto& [name, child] : schema.properties) collect(*child, used);
  if (schema.items) collect(*schema.items, used);
  if (schema.additional) collect(*schema.additional, used);
}

json::object OpenApiWriter::kind_schema(const Type& type) const {
  json::object out = expanded(*type.schema);
  out["x-kubernetes-group-version-kind"] = gvk_list(type.group, type.version, type.kind);
  return out;
}

json::object OpenApiWriter::list_schema(const Type& type) const {
  return {
      {"type", "object"},
      {"description", fmt::format("A list of {}.", type.kind)},
      {"required", json::array{"items"}},
      {"properties", json::object{{"apiVersion", typed("string")},
                                  {"kind", typed("string")},
                                  {"metadata", reference(std::string(kMeta) + "ListMeta")},
                                  {"items", json::object{{"type", "array"}, {"items", reference(kind_name(type))}}}}},
      {"x-kubernetes-group-version-kind", gvk_list(type.group, type.version, type.kind + "List")}};
}

json::object OpenApiWriter::definitions(const std::vector<const Type*>& types) const {
  json::object out;
  std::set<std::string> used;
  json::array delete_kinds;
  for (const Type* type : types) {
    collect(*type->schema, used);
    out[kind_name(*type)] = kind_schema(*type);
    if (type->verbs.contains("list")) out[kind_name(*type) + "List"] = list_schema(*type);
    json::value kind = gvk_list(type->group, type->version, "DeleteOptions")[0];
    if (delete_kinds.empty() || delete_kinds.back() != kind) delete_kinds.push_back(std::move(kind));
  }
  for (const std::string& name : used) out[definition_name(name)] = expanded(*types_.definitions().at(name));
  out[std::string(kMeta) + "ListMeta"] = list_meta();
  out[std::string(kMeta) + "Status"] = status_schema();
  out[std::string(kMeta) + "DeleteOptions"] = delete_options(std::move(delete_kinds));
  out[std::string(kMeta) + "Patch"] = typed("object", "A patch in the format its content type names.");
  const bool scales = std::ranges::any_of(types, [](const Type* type) { return type->subresources.contains("scale"); });
  if (scales) {
    const json::object count{{"type", "integer"}, {"format", "int32"}};
    out[kScale] = json::object{
        {"type", "object"},
        {"description", "The replicas of an object, whatever its kind."},
        {"properties",
         json::object{{"apiVersion", typed("string")},
                      {"kind", typed("string")},
                      {"metadata", reference(std::string(kMeta) + "ObjectMeta")},
                      {"spec", json::object{{"type", "object"}, {"properties", json::object{{"replicas", count}}}}},
                      {"status", json::object{{"type", "object"},
                                              {"properties",
                                               json::object{{"replicas", count}, {"selector", typed("string")}}}}}}},
        {"x-kubernetes-group-version-kind", gvk_list("autoscaling", "v1", "Scale")}};
  }
  return out;
}

json::array OpenApiWriter::parameters(const Operation& what, std::string_view path, std::string_view body_name) const {
  json::array out;
  const bool v2 = version_ == OpenApiVersion::kV2;
  const auto add = [&](std::string_view name, std::string_view in, std::string_view type,
                       std::string_view description) {
    json::object one{{"name", name}, {"in", in}, {"description", description}};
    if (in == "path") one["required"] = true;
    if (v2) {
      one["type"] = type;
      one["uniqueItems"] = true;
    } else {
      one["schema"] = json::object{{"type", type}};
    }
    out.push_back(std::move(one));
  };
  if (path.find("{namespace}") != std::string_view::npos) add("namespace", "path", "string", "The namespace.");
  if (path.find("{name}") != std::string_view::npos) add("name", "path", "string", "The object's name.");
  if (v2 && (what.body || what.patch)) {
    const std::string body = what.patch ? std::string(kMeta) + "Patch" : std::string(body_name);
    out.push_back(json::object{{"name", "body"}, {"in", "body"}, {"required", true}, {"schema", reference(body)}});
  }
  if (what.body || what.patch) {
    add("dryRun", "query", "string", "All: do everything but store the result.");
    add("fieldManager", "query", "string", "Who makes the change, for managedFields.");
    add("fieldValidation", "query", "string", "Ignore, Warn or Strict: what unknown fields lead to.");
  }
  if (what.patch) add("force", "query", "boolean", "Apply: take over fields that others manage.");
  if (what.deletes) {
    add("dryRun", "query", "string", "All: do everything but delete.");
    add("gracePeriodSeconds", "query", "integer", "Seconds the object has to end in good order.");
    add("propagationPolicy", "query", "string", "Background, Foreground or Orphan.");
  }
  if (what.list_result) {
    add("labelSelector", "query", "string", "Only objects with these labels.");
    add("fieldSelector", "query", "string", "Only objects with these fields.");
    add("limit", "query", "integer", "At most so many; the answer says how to go on.");
    add("continue", "query", "string", "Where to go on.");
    add("resourceVersion", "query", "string", "Not older than this.");
    add("watch", "query", "boolean", "Follow the changes.");
  }
  return out;
}

json::object OpenApiWriter::operation(const Type& type, const Operation& what, std::string_view path,
                                      const json::object& gvk, std::string_view body_name) const {
  const bool v2 = version_ == OpenApiVersion::kV2;
  const std::string result = what.list_result ? kind_name(type) + "List"
                             : what.deletes   ? std::string(kMeta) + "Status"
                                              : std::string(body_name);
  static constexpr std::string_view kPatches[] = {"application/json-patch+json", "application/merge-patch+json",
                                                  "application/strategic-merge-patch+json",
                                                  "application/apply-patch+yaml"};
  json::object response{{"description", "OK"}};
  json::object out{{"description", what.summary}, {"parameters", parameters(what, path, body_name)}};
  if (v2) {
    response["schema"] = reference(result);
    out["produces"] = json::array{"application/json", "application/yaml"};
    json::array consumes;
    if (what.patch) {
      for (std::string_view one : kPatches) consumes.push_back(json::value(one));
    } else {
      consumes.push_back("*/*");
    }
    out["consumes"] = std::move(consumes);
    out["schemes"] = json::array{"https"};
  } else {
    response["content"] = json::object{{"application/json", json::object{{"schema", reference(result)}}}};
    json::object content;
    if (what.patch) {
      for (std::string_view one : kPatches)
        content[one] = json::object{{"schema", reference(std::string(kMeta) + "Patch")}};
    } else if (what.body) {
      content["*/*"] = json::object{{"schema", reference(body_name)}};
    }
    if (!content.empty()) out["requestBody"] = json::object{{"required", true}, {"content", std::move(content)}};
  }
  out["responses"] = json::object{{"200", std::move(response)}};
  out["x-kubernetes-action"] = what.action;
  out["x-kubernetes-group-version-kind"] = gvk;
  return out;
}

void OpenApiWriter::add_paths(const Type& type, json::object& paths) const {
  const std::string root =
      type.group.empty() ? "/api/" + type.version : fmt::format("/apis/{}/{}", type.group, type.version);
  const std::string collection =
      type.namespaced ? fmt::format("{}/namespaces/{{namespace}}/{}", root, type.plural) : root + "/" + type.plural;
  const std::string item = collection + "/{name}";
  const json::object own{{"group", type.group}, {"version", type.version}, {"kind", type.kind}};
  const std::string name = kind_name(type);
  const auto add = [&](const std::string& path, const Operation& what, const json::object& gvk, std::string_view body) {
    json::value& entry = paths[path];
    if (!entry.is_object()) entry = json::object();
    json::object made = operation(type, what, path, gvk, body);
    std::string id = fmt::format("{}.{}", what.action, path);  // unique, as OpenAPI asks
    std::ranges::replace_if(id, [](char c) { return !isalnum(static_cast<unsigned char>(c)); }, '_');
    made["operationId"] = id;
    entry.get_object()[what.method] = std::move(made);
  };
  const auto has = [&](const char* verb) { return type.verbs.contains(verb); };
  if (has("list")) {
    add(collection, {"get", "list", "List " + type.plural, false, false, true}, own, name);
    if (type.namespaced)
      add(root + "/" + type.plural, {"get", "list", "List " + type.plural + " of all namespaces", false, false, true},
          own, name);
  }
  if (has("create")) add(collection, {"post", "post", "Create a " + type.kind, true}, own, name);
  if (has("deletecollection"))
    add(collection, {"delete", "deletecollection", "Delete " + type.plural, false, false, false, true}, own, name);
  if (has("get")) add(item, {"get", "get", "Read a " + type.kind}, own, name);
  if (has("update")) add(item, {"put", "put", "Replace a " + type.kind, true}, own, name);
  if (has("patch")) add(item, {"patch", "patch", "Change a " + type.kind, false, true}, own, name);
  if (has("delete")) add(item, {"delete", "delete", "Delete a " + type.kind, false, false, false, true}, own, name);
  for (const std::string& subresource : type.subresources) {
    const bool scale = subresource == "scale";
    const json::object gvk = scale ? json::object{{"group", "autoscaling"}, {"version", "v1"}, {"kind", "Scale"}} : own;
    const std::string body = scale ? std::string(kScale) : name;
    const std::string path = item + "/" + subresource;
    if (subresource != "finalize") {
      add(path, {"get", "get", fmt::format("Read the {} of a {}", subresource, type.kind)}, gvk, body);
      add(path, {"patch", "patch", fmt::format("Change the {} of a {}", subresource, type.kind), false, true}, gvk,
          body);
    }
    add(path, {"put", "put", fmt::format("Replace the {} of a {}", subresource, type.kind), true}, gvk, body);
  }
}

}  // namespace mainstay::api
