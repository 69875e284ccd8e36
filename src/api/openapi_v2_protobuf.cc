// The Swagger document in the protobuf encoding that client-go asks for: the messages of package openapi.v2 in
// gnostic's published OpenAPIv2.proto, of which only the fields our documents use are written. Field numbers are that
// file's. Encoding: https://protobuf.dev/programming-guides/encoding/
#include <bit>

#include "api/verbs.h"

namespace mainstay::api {
namespace json = base::json;
namespace {

class Message {
 public:
  void text(int field, std::string_view value) {
    tag(field, 2);
    varint(value.size());
    bytes_ += value;
  }
  void text_of(int field, const json::object& from, std::string_view key) {
    const json::value* value = from.if_contains(key);
    if (value && value->is_string() && !value->get_string().empty()) text(field, value->get_string());
  }
  void message(int field, const Message& inner) { text(field, inner.bytes_); }
  void boolean(int field, bool value) {
    if (!value) return;  // proto3 leaves out what is zero
    tag(field, 0);
    varint(1);
  }
  void boolean_of(int field, const json::object& from, std::string_view key) {
    const json::value* value = from.if_contains(key);
    boolean(field, value && value->is_bool() && value->get_bool());
  }
  void integer_of(int field, const json::object& from, std::string_view key) {
    const json::value* value = from.if_contains(key);
    if (!value || !value->is_number()) return;
    tag(field, 0);
    varint(static_cast<std::uint64_t>(value->to_number<std::int64_t>()));
  }
  void number_of(int field, const json::object& from, std::string_view key) {
    const json::value* value = from.if_contains(key);
    if (!value || !value->is_number()) return;
    tag(field, 1);
    const auto bits = std::bit_cast<std::uint64_t>(value->to_number<double>());
    for (int shift = 0; shift < 64; shift += 8) bytes_ += static_cast<char>(bits >> shift & 0xFF);
  }
  void texts_of(int field, const json::object& from, std::string_view key) {
    const json::value* value = from.if_contains(key);
    if (!value || !value->is_array()) return;
    for (const json::value& one : value->get_array()) {
      if (one.is_string()) text(field, one.get_string());
    }
  }
  std::string take() { return std::move(bytes_); }

 private:
  void tag(int field, int wire_type) {
    varint(static_cast<std::uint64_t>(field) << 3 | static_cast<unsigned>(wire_type));
  }
  void varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>(value | 0x80);
    bytes_ += static_cast<char>(value);
  }
  std::string bytes_;
};

// Any: the value as YAML, of which JSON is a part.
Message any(const json::value& value) {
  Message out;
  out.text(2, json::serialize(value) + "\n");
  return out;
}

Message named(std::string_view name, const Message& value) {
  Message out;
  out.text(1, name);
  out.message(2, value);
  return out;
}

void extensions(int field, const json::object& from, Message& out) {
  for (const auto& member : from) {
    if (member.key().starts_with("x-")) out.message(field, named(member.key(), any(member.value())));
  }
}

Message schema(const json::object& from) {
  Message out;
  out.text_of(1, from, "$ref");
  out.text_of(2, from, "format");
  out.text_of(4, from, "description");
  if (const json::value* value = from.if_contains("default")) out.message(5, any(*value));
  out.number_of(7, from, "maximum");
  out.number_of(9, from, "minimum");
  out.integer_of(11, from, "maxLength");
  out.integer_of(12, from, "minLength");
  out.text_of(13, from, "pattern");
  out.integer_of(14, from, "maxItems");
  out.integer_of(15, from, "minItems");
  out.texts_of(19, from, "required");
  if (const json::value* values = from.if_contains("enum")) {
    for (const json::value& one : values->as_array()) out.message(20, any(one));
  }
  if (const json::value* value = from.if_contains("additionalProperties")) {
    Message item;
    item.message(1, schema(value->as_object()));
    out.message(21, item);
  }
  if (const json::value* value = from.if_contains("type")) {
    Message item;
    item.text(1, value->as_string());
    out.message(22, item);
  }
  if (const json::value* value = from.if_contains("items")) {
    Message item;
    item.message(1, schema(value->as_object()));
    out.message(23, item);
  }
  if (const json::value* value = from.if_contains("properties")) {
    Message properties;
    for (const auto& member : value->as_object())
      properties.message(1, named(member.key(), schema(member.value().as_object())));
    out.message(25, properties);
  }
  extensions(31, from, out);
  return out;
}

Message body_parameter(const json::object& from) {
  Message out;
  out.text_of(1, from, "description");
  out.text_of(2, from, "name");
  out.text_of(3, from, "in");
  out.boolean_of(4, from, "required");
  if (const json::value* value = from.if_contains("schema")) out.message(5, schema(value->as_object()));
  return out;
}

// QueryParameterSubSchema and PathParameterSubSchema number their fields apart from the fifth on.
Message plain_parameter(const json::object& from, bool query) {
  Message out;
  out.boolean_of(1, from, "required");
  out.text_of(2, from, "in");
  out.text_of(3, from, "description");
  out.text_of(4, from, "name");
  out.text_of(query ? 6 : 5, from, "type");
  out.boolean_of(query ? 20 : 19, from, "uniqueItems");
  return out;
}

Message parameter(const json::object& from) {
  const json::value& in = from.at("in");
  Message kind;
  if (in == "body") {
    kind.message(1, body_parameter(from));
  } else {
    Message non_body;
    non_body.message(in == "query" ? 3 : 4, plain_parameter(from, in == "query"));
    kind.message(2, non_body);
  }
  Message out;
  out.message(1, kind);
  return out;
}

Message responses(const json::object& from) {
  Message out;
  for (const auto& member : from) {
    const json::object& source = member.value().as_object();
    Message response;
    response.text_of(1, source, "description");
    if (const json::value* value = source.if_contains("schema")) {
      Message item;
      item.message(1, schema(value->as_object()));
      response.message(2, item);
    }
    Message value;
    value.message(1, response);
    out.message(1, named(member.key(), value));
  }
  return out;
}

Message operation(const json::object& from) {
  Message out;
  out.text_of(3, from, "description");
  out.text_of(5, from, "operationId");
  out.texts_of(6, from, "produces");
  out.texts_of(7, from, "consumes");
  if (const json::value* value = from.if_contains("parameters")) {
    for (const json::value& one : value->as_array()) out.message(8, parameter(one.as_object()));
  }
  if (const json::value* value = from.if_contains("responses")) out.message(9, responses(value->as_object()));
  out.texts_of(10, from, "schemes");
  extensions(13, from, out);
  return out;
}

Message path_item(const json::object& from) {
  Message out;
  const std::pair<const char*, int> methods[] = {{"get", 2}, {"put", 3}, {"post", 4}, {"delete", 5}, {"patch", 8}};
  for (const auto& [method, field] : methods) {
    if (const json::value* value = from.if_contains(method)) out.message(field, operation(value->as_object()));
  }
  return out;
}

}  // namespace

std::string openapi_v2_protobuf(const json::value& document) {
  const json::object& from = document.as_object();
  Message out;
  out.text_of(1, from, "swagger");
  Message info;
  info.text_of(1, from.at("info").as_object(), "title");
  info.text_of(2, from.at("info").as_object(), "version");
  out.message(2, info);
  Message paths;
  for (const auto& member : from.at("paths").as_object())
    paths.message(2, named(member.key(), path_item(member.value().as_object())));
  out.message(8, paths);
  Message definitions;
  for (const auto& member : from.at("definitions").as_object()) {
    definitions.message(1, named(member.key(), schema(member.value().as_object())));
  }
  out.message(9, definitions);
  return out.take();
}

}  // namespace mainstay::api
