// Removes what the schema does not know, and nulls where null means nothing.
#include "api/field_path.h"
#include "api/schema_loader.h"
#include "api/verbs.h"

namespace mainstay::api {
namespace json = base::json;
namespace {

constexpr std::size_t kMaxReported = 50;

void prune_at(const Schema& schema, json::value& value, const FieldPath& path, std::vector<std::string>* dropped);

// Whether a member stays; prunes below it where it does.
bool keep(const Schema& schema, std::string_view name, json::value& value, const FieldPath& path,
          std::vector<std::string>* dropped) {
  const auto declared = schema.properties.find(name);
  const bool is_declared = declared != schema.properties.end();
  const Schema* child = is_declared ? declared->second.get() : schema.additional.get();
  if (!child || child == refused_member().get()) {
    if (schema.preserve_unknown) return true;
    if (dropped && dropped->size() < kMaxReported) dropped->push_back(path.field(name).to_string());
    return false;
  }
  // A null is a field that is not set (templates print them); only where null is a value of its own it stays.
  if (value.is_null() && !child->nullable) return false;
  prune_at(*child, value, is_declared ? path.field(name) : path.key(name), dropped);
  return true;
}

void prune_object(const Schema& schema, json::object& object, const FieldPath& path,
                  std::vector<std::string>* dropped) {
  // Nearly every object keeps all it has. Where one does not it is built anew, in order: erasing member by member
  // would be quadratic in what a client sends.
  std::vector<bool> kept;
  kept.reserve(object.size());
  bool all = true;
  for (auto& member : object) {
    kept.push_back(keep(schema, member.key(), member.value(), path, dropped));
    all = all && kept.back();
  }
  if (all) return;
  json::object rest(object.storage());
  std::size_t i = 0;
  for (auto& member : object) {
    if (kept[i++]) rest.emplace(member.key(), std::move(member.value()));
  }
  object = std::move(rest);
}

void prune_at(const Schema& schema, json::value& value, const FieldPath& path, std::vector<std::string>* dropped) {
  if (json::object* object = value.if_object()) {
    // Without a type anything goes, as far as it is not declared.
    if (schema.type == "object") prune_object(schema, *object, path, dropped);
  } else if (json::array* items = value.if_array(); items && schema.items) {
    for (std::size_t i = 0; i < items->size(); ++i) prune_at(*schema.items, (*items)[i], path.at(i), dropped);
  }
}

}  // namespace

void prune(const Schema& schema, json::value& object, std::vector<std::string>* dropped) {
  prune_at(schema, object, FieldPath{}, dropped);
}

}  // namespace mainstay::api
