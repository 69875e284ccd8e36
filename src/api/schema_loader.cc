#include "api/schema_loader.h"

#include <fmt/format.h>

#include "api/pattern.h"

namespace mainstay::api {
namespace json = base::json;
using base::ErrorCode;
using base::fail;
using base::Result;

namespace {

std::unexpected<base::Error> bad(const std::string& where, std::string_view why) {
  return fail(ErrorCode::kInvalid, fmt::format("{}: {}", where, why));
}

Result<> read_string(const json::value& value, const std::string& where, std::string& out) {
  if (!value.is_string()) return bad(where, "must be a string");
  out = value.get_string();
  return {};
}
Result<> read_bool(const json::value& value, const std::string& where, bool& out) {
  if (!value.is_bool()) return bad(where, "must be true or false");
  out = value.get_bool();
  return {};
}
Result<> read_number(const json::value& value, const std::string& where, std::optional<double>& out) {
  if (!value.is_number()) return bad(where, "must be a number");
  out = value.to_number<double>();
  return {};
}
Result<> read_count(const json::value& value, const std::string& where, std::optional<std::size_t>& out) {
  if (!value.is_int64() || value.get_int64() < 0) return bad(where, "must be a whole number of at least 0");
  out = static_cast<std::size_t>(value.get_int64());
  return {};
}
Result<> read_strings(const json::value& value, const std::string& where, std::vector<std::string>& out) {
  if (!value.is_array()) return bad(where, "must be a list of strings");
  for (const json::value& item : value.get_array()) {
    if (!item.is_string()) return bad(where, "must be a list of strings");
    out.emplace_back(item.get_string());
  }
  return {};
}

Result<> read_word(const json::value& value, const std::string& where, std::initializer_list<std::string_view> allowed,
                   std::string& out) {
  MAINSTAY_TRY_VOID(read_string(value, where, out));
  for (std::string_view word : allowed) {
    if (out == word) return {};
  }
  return bad(where, fmt::format("unknown value \"{}\"", out));
}

using Reader = Result<> (*)(const json::value&, const std::string&, Schema&);

// Every key a schema may have, but those with schemas below (read_children).
const std::map<std::string_view, Reader>& readers() {
  using V = const json::value&;
  using W = const std::string&;
  static const std::map<std::string_view, Reader> kReaders{
      {"type",
       [](V v, W w, Schema& s) {
         return read_word(v, w, {"object", "array", "string", "integer", "number", "boolean"}, s.type);
       }},
      {"description", [](V v, W w, Schema& s) { return read_string(v, w, s.description); }},
      {"format", [](V v, W w, Schema& s) { return read_string(v, w, s.format); }},
      {"pattern", [](V v, W w, Schema& s) { return read_string(v, w, s.pattern); }},
      {"nullable", [](V v, W w, Schema& s) { return read_bool(v, w, s.nullable); }},
      {"minimum", [](V v, W w, Schema& s) { return read_number(v, w, s.minimum); }},
      {"maximum", [](V v, W w, Schema& s) { return read_number(v, w, s.maximum); }},
      {"minLength", [](V v, W w, Schema& s) { return read_count(v, w, s.min_length); }},
      {"maxLength", [](V v, W w, Schema& s) { return read_count(v, w, s.max_length); }},
      {"minItems", [](V v, W w, Schema& s) { return read_count(v, w, s.min_items); }},
      {"maxItems", [](V v, W w, Schema& s) { return read_count(v, w, s.max_items); }},
      {"required", [](V v, W w, Schema& s) { return read_strings(v, w, s.required); }},
      {"enum",
       [](V v, W w, Schema& s) -> Result<> {
         if (!v.is_array() || v.get_array().empty()) return bad(w, "must be a list with a value at least");
         s.enumeration.assign(v.get_array().begin(), v.get_array().end());
         return {};
       }},
      {"default",
       [](V v, W, Schema& s) -> Result<> {
         s.default_value = v;
         return {};
       }},
      {"x-kubernetes-int-or-string", [](V v, W w, Schema& s) { return read_bool(v, w, s.int_or_string); }},
      {"x-kubernetes-preserve-unknown-fields", [](V v, W w, Schema& s) { return read_bool(v, w, s.preserve_unknown); }},
      {"x-kubernetes-immutable", [](V v, W w, Schema& s) { return read_bool(v, w, s.immutable); }},
      {"x-kubernetes-list-type",
       [](V v, W w, Schema& s) { return read_word(v, w, {"atomic", "set", "map"}, s.list_type); }},
      {"x-kubernetes-list-map-keys", [](V v, W w, Schema& s) { return read_strings(v, w, s.list_map_keys); }},
      {"x-kubernetes-map-type",
       [](V v, W w, Schema& s) { return read_word(v, w, {"granular", "atomic"}, s.map_type); }},
      {"x-kubernetes-patch-merge-key", [](V v, W w, Schema& s) { return read_string(v, w, s.patch_merge_key); }},
      {"x-kubernetes-patch-strategy", [](V v, W w, Schema& s) { return read_string(v, w, s.patch_strategy); }},
  };
  return kReaders;
}

// What the keys together must satisfy.
Result<> check_node(Schema& node, const std::string& where) {
  if (!node.properties.empty() && node.type != "object") return bad(where, "properties need type: object");
  if (node.additional && node.type != "object") return bad(where, "additionalProperties needs type: object");
  if (node.type == "array" && !node.items) return bad(where, "an array needs items");
  if (node.items && node.type != "array") return bad(where, "items need type: array");
  if (node.is_list_map() && node.list_map_keys.empty()) {
    return bad(where, "a list of type map needs x-kubernetes-list-map-keys");
  }
  for (const std::string& key : node.list_map_keys) {
    if (!node.items || !node.items->properties.contains(key)) {
      return bad(where, fmt::format("x-kubernetes-list-map-keys names {}, which the items do not have", key));
    }
  }
  for (const std::string& name : node.required) {
    if (!node.properties.contains(name))
      return bad(where, fmt::format("required names {}, which is no property", name));
  }
  if (!node.pattern.empty() && !node.matcher) {
    auto matcher = std::make_shared<Pattern>(node.pattern);
    if (!matcher->expression.ok()) {
      return bad(where, fmt::format("pattern: {}", matcher->expression.error()));
    }
    node.matcher = std::move(matcher);
  }
  node.defaults_below = node.default_value.has_value() || node.format == "quantity" ||
                        (node.items && node.items->defaults_below) ||
                        (node.additional && node.additional->defaults_below);
  for (const auto& [name, child] : node.properties) node.defaults_below |= child->defaults_below;
  return {};
}

}  // namespace

const std::shared_ptr<const Schema>& refused_member() {
  static const std::shared_ptr<const Schema> kRefused = std::make_shared<Schema>();
  return kRefused;
}

Result<std::shared_ptr<const Schema>> SchemaLoader::definition(const std::string& name, const std::string& where) {
  if (const auto known = resolved_.find(name); known != resolved_.end()) return known->second;
  const auto raw = raw_.find(name);
  if (raw == raw_.end()) return bad(where, fmt::format("$ref: no definition is named {}", name));
  if (!in_progress_.insert(name).second) {
    return bad(where, fmt::format("$ref: the definition {} contains itself, which is not supported", name));
  }
  auto loaded = load(raw->second.schema, fmt::format("{}: definitions.{}", raw->second.file, name));
  in_progress_.erase(name);
  if (!loaded) return loaded;
  auto named = std::make_shared<Schema>(**loaded);
  named->definition = name;
  resolved_[name] = named;
  return named;
}

Result<> SchemaLoader::read_keys(const json::object& node, const std::string& where, Schema& out) {
  for (const auto& [key, value] : node) {
    if (key == "$ref" || key == "properties" || key == "items" || key == "additionalProperties") continue;
    const auto reader = readers().find(std::string_view(key));
    if (reader == readers().end()) return bad(where, fmt::format("unknown key {}", std::string_view(key)));
    MAINSTAY_TRY_VOID(reader->second(value, where + "." + std::string(key), out));
  }
  return {};
}

Result<> SchemaLoader::read_children(const json::object& node, const std::string& where, Schema& out) {
  if (const json::value* properties = node.if_contains("properties")) {
    if (!properties->is_object()) return bad(where + ".properties", "must be an object");
    for (const auto& [name, child] : properties->get_object()) {
      MAINSTAY_TRY(auto loaded, load(child, fmt::format("{}.properties.{}", where, std::string_view(name))));
      out.properties[std::string(name)] = std::move(loaded);
    }
  }
  if (const json::value* items = node.if_contains("items")) {
    MAINSTAY_TRY(out.items, load(*items, where + ".items"));
  }
  if (const json::value* additional = node.if_contains("additionalProperties")) {
    MAINSTAY_TRY(out.additional, load(*additional, where + ".additionalProperties"));
  }
  return {};
}

Result<std::shared_ptr<const Schema>> SchemaLoader::load(const json::value& node, const std::string& where) {
  if (!node.is_object()) return bad(where, "must be an object");
  const json::object& object = node.get_object();
  auto out = std::make_shared<Schema>();
  if (const json::value* ref = object.if_contains("$ref")) {
    if (!ref->is_string()) return bad(where + ".$ref", "must be the name of a definition");
    MAINSTAY_TRY(auto target, definition(std::string(ref->get_string()), where));
    if (object.size() == 1) return target;
    *out = *target;  // siblings of $ref say what is particular to this use
  }
  MAINSTAY_TRY_VOID(read_keys(object, where, *out));
  MAINSTAY_TRY_VOID(read_children(object, where, *out));
  MAINSTAY_TRY_VOID(check_node(*out, where));
  return out;
}

}  // namespace mainstay::api
