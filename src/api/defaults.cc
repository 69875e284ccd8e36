// Fills in defaults, and brings values that may be written in several ways into the one that is stored.
#include <fmt/format.h>

#include "api/verbs.h"

namespace mainstay::api {
namespace json = base::json;
namespace {

// Quantities written as numbers (cpu: 0.5) are stored as text, as Kubernetes does.
void normalise_quantity(json::value& value) {
  if (value.is_int64()) value = fmt::format("{}", value.get_int64());
  if (value.is_uint64()) value = fmt::format("{}", value.get_uint64());
  if (value.is_double()) value = fmt::format("{}", value.get_double());
}

}  // namespace

void apply_defaults(const Schema& schema, json::value& object) {
  if (!schema.defaults_below) return;
  if (schema.format == "quantity") {
    normalise_quantity(object);
  } else if (json::array* items = object.if_array()) {
    if (schema.items) {
      for (json::value& item : *items) apply_defaults(*schema.items, item);
    }
  } else if (json::object* fields = object.if_object()) {
    for (const auto& [name, child] : schema.properties) {
      if (!child->defaults_below) continue;
      json::value* member = fields->if_contains(name);
      if (!member) {
        if (!child->default_value) continue;
        member = &fields->emplace(name, *child->default_value).first->value();
      }
      apply_defaults(*child, *member);
    }
    if (schema.additional && schema.additional->defaults_below) {
      for (auto& member : *fields) {
        if (!schema.properties.contains(std::string_view(member.key())))
          apply_defaults(*schema.additional, member.value());
      }
    }
  }
}

}  // namespace mainstay::api
