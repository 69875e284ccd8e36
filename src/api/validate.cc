// Checks an object against its schema. The messages are those kubectl users know from Kubernetes.
#include <fmt/format.h>

#include "api/field_path.h"
#include "api/pattern.h"
#include "api/verbs.h"
#include "base/clock.h"
#include "base/encoding.h"
#include "base/quantity.h"

namespace mainstay::api {
namespace json = base::json;
namespace {

constexpr std::size_t kMaxViolations = 30;  // enough to mend a manifest by; an answer stays small
constexpr std::size_t kMaxShown = 120;

std::string shown(const json::value& value) {
  std::string text =
      value.is_object() || value.is_array() ? (value.is_object() ? "object" : "array") : json::serialize(value);
  if (text.size() > kMaxShown) text = text.substr(0, kMaxShown) + "…";
  return text;
}

std::string_view type_name(const json::value& value) {
  switch (value.kind()) {
    case json::kind::null:
      return "null";
    case json::kind::bool_:
      return "boolean";
    case json::kind::int64:
    case json::kind::uint64:
      return "integer";
    case json::kind::double_:
      return "number";
    case json::kind::string:
      return "string";
    case json::kind::array:
      return "array";
    case json::kind::object:
      return "object";
  }
  return "unknown";
}

bool is_whole(const json::value& value) {
  if (value.is_int64() || value.is_uint64()) return true;
  if (!value.is_double()) return false;
  const double number = value.get_double();
  return std::abs(number) < 9.0e15 && number == static_cast<double>(static_cast<std::int64_t>(number));
}

bool has_type(const std::string& type, const json::value& value) {
  if (type == "object") return value.is_object();
  if (type == "array") return value.is_array();
  if (type == "string") return value.is_string();
  if (type == "boolean") return value.is_bool();
  if (type == "integer") return is_whole(value);
  if (type == "number") return value.is_number();
  return true;
}

// Characters, not bytes: what a user counts.
std::size_t length(std::string_view text) {
  return static_cast<std::size_t>(
      std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

class Validator {
 public:
  void check(const Schema& schema, const json::value& value, const FieldPath& path) {
    if (out.size() >= kMaxViolations) return;
    if (value.is_null() && schema.nullable) return;
    if (schema.int_or_string) {
      check_int_or_string(schema, value, path);
      return;
    }
    if (!schema.type.empty() && !has_type(schema.type, value)) {
      add(path, "FieldValueTypeInvalid",
          fmt::format("Invalid value: \"{}\": {} in body must be of type {}: \"{}\"", type_name(value),
                      path.to_string(), schema.type, type_name(value)));
      return;
    }
    check_enumeration(schema, value, path);
    switch (value.kind()) {
      case json::kind::object:
        check_object(schema, value.get_object(), path);
        return;
      case json::kind::array:
        check_array(schema, value.get_array(), path);
        return;
      case json::kind::string:
        check_string(schema, value, path);
        return;
      case json::kind::int64:
      case json::kind::uint64:
      case json::kind::double_:
        check_number(schema, value, path);
        return;
      default:
        return;
    }
  }

  std::vector<Violation> out;

 private:
  void add(const FieldPath& path, std::string reason, std::string message) {
    out.push_back({path.to_string(), std::move(reason), std::move(message)});
  }
  void bad(const FieldPath& path, const json::value& value, std::string_view why) {
    add(path, "FieldValueInvalid", fmt::format("Invalid value: {}: {}", shown(value), why));
  }

  void check_int_or_string(const Schema& schema, const json::value& value, const FieldPath& path) {
    if (schema.format == "quantity" && value.is_number()) return;  // normalised to text by the defaults
    if (!is_whole(value) && !value.is_string()) {
      add(path, "FieldValueTypeInvalid",
          fmt::format("Invalid value: \"{}\": {} in body must be of type integer or string", type_name(value),
                      path.to_string()));
      return;
    }
    if (value.is_string()) check_format(schema, value, path);
  }

  void check_enumeration(const Schema& schema, const json::value& value, const FieldPath& path) {
    if (schema.enumeration.empty() || std::ranges::find(schema.enumeration, value) != schema.enumeration.end()) return;
    std::string allowed;
    for (const json::value& one : schema.enumeration) {
      if (!allowed.empty()) allowed += ", ";
      allowed += json::serialize(one);
    }
    add(path, "FieldValueNotSupported",
        fmt::format("Unsupported value: {}: supported values: {}", shown(value), allowed));
  }

  void check_object(const Schema& schema, const json::object& object, const FieldPath& path) {
    for (const std::string& name : schema.required) {
      const json::value* member = object.if_contains(name);
      if (!member || member->is_null()) add(path.field(name), "FieldValueRequired", "Required value");
    }
    for (const auto& member : object) {
      const auto declared = schema.properties.find(std::string_view(member.key()));
      if (declared != schema.properties.end()) {
        check(*declared->second, member.value(), path.field(member.key()));
      } else if (schema.additional) {
        check(*schema.additional, member.value(), path.key(member.key()));
      }
    }
  }

  void check_array(const Schema& schema, const json::array& items, const FieldPath& path) {
    if (schema.min_items && items.size() < *schema.min_items) {
      if (items.empty()) {
        add(path, "FieldValueRequired", "Required value");
      } else {
        bad(path, items.size(), fmt::format("must have at least {} items", *schema.min_items));
      }
    }
    if (schema.max_items && items.size() > *schema.max_items) {
      add(path, "FieldValueTooMany",
          fmt::format("Too many: {}: must have at most {} items", items.size(), *schema.max_items));
      return;
    }
    for (std::size_t i = 0; i < items.size(); ++i) check(*schema.items, items[i], path.at(i));
    check_unique(schema, items, path);
  }

  // Items of sets and keyed lists must differ, or a patch could not tell them apart.
  void check_unique(const Schema& schema, const json::array& items, const FieldPath& path) {
    if (!schema.is_list_map() && !schema.is_list_set()) return;
    std::set<std::string> seen;
    for (std::size_t i = 0; i < items.size() && out.size() < kMaxViolations; ++i) {
      std::string key;
      if (schema.is_list_set()) {
        key = json::serialize(items[i]);
      } else {
        if (!items[i].is_object()) continue;
        for (const std::string& name : schema.list_map_keys) {
          const json::value* part = items[i].get_object().if_contains(name);
          key += (key.empty() ? "" : ",") + fmt::format("\"{}\":{}", name, part ? json::serialize(*part) : "null");
        }
        key = "{" + key + "}";
      }
      if (!seen.insert(key).second) add(path.at(i), "FieldValueDuplicate", fmt::format("Duplicate value: {}", key));
    }
  }

  void check_string(const Schema& schema, const json::value& value, const FieldPath& path) {
    const std::string_view text = value.get_string();
    if (schema.min_length && text.size() < *schema.min_length) {
      if (text.empty()) {
        add(path, "FieldValueRequired", "Required value");
      } else {
        bad(path, value, fmt::format("must be at least {} characters long", *schema.min_length));
      }
    }
    if (schema.max_length && length(text) > *schema.max_length) {
      add(path, "FieldValueTooLong", fmt::format("Too long: may not be more than {} characters", *schema.max_length));
    }
    if (schema.matcher && !RE2::PartialMatch(text, schema.matcher->expression)) {
      bad(path, value, fmt::format("{} in body should match '{}'", path.to_string(), schema.pattern));
    }
    if (!schema.format.empty()) check_format(schema, value, path);
  }

  void check_format(const Schema& schema, const json::value& value, const FieldPath& path) {
    const std::string_view text = value.get_string();
    if (schema.format == "date-time") {
      if (!base::parse_rfc3339(text)) bad(path, value, "must be a time as in 2006-01-02T15:04:05Z (RFC 3339)");
    } else if (schema.format == "byte") {
      if (!base::base64_decode(text))
        add(path, "FieldValueInvalid", "Invalid value: must be base64 (RFC 4648) with padding");
    } else if (schema.format == "quantity") {
      if (!base::parse_quantity_milli(text)) {
        bad(path, value, "must be a quantity: a number with an optional suffix, as in 500m, 1.5 or 64Mi");
      }
    } else if (schema.format == "duration") {
      if (!base::parse_duration(text)) bad(path, value, "must be a duration as in 1h30m or 250ms");
    }
  }

  void check_number(const Schema& schema, const json::value& value, const FieldPath& path) {
    const double number = value.to_number<double>();
    if (schema.minimum && number < *schema.minimum) {
      bad(path, value, fmt::format("must be greater than or equal to {}", *schema.minimum));
    }
    if (schema.maximum && number > *schema.maximum) {
      bad(path, value, fmt::format("must be less than or equal to {}", *schema.maximum));
    }
    if (schema.format == "int32" && (number < -2147483648.0 || number > 2147483647.0)) {
      bad(path, value, "must fit in 32 bits");
    }
  }
};

}  // namespace

std::vector<Violation> validate(const Schema& schema, const json::value& object) {
  Validator validator;
  validator.check(schema, object, FieldPath{});
  return std::move(validator.out);
}

}  // namespace mainstay::api
