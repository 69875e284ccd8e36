#include "api/field_set.h"

#include <fmt/format.h>

namespace mainstay::api {
namespace json = base::json;
namespace {

std::string field_edge(std::string_view name) { return fmt::format("f:{}", name); }

bool is_granular_object(const Schema* schema, const json::value& value) {
  return value.is_object() && (!schema || !schema->is_atomic());
}
bool is_granular_list(const Schema* schema, const json::value& value) {
  return value.is_array() && schema && schema->items && (schema->is_list_map() || schema->is_list_set());
}

const Schema* member_schema(const Schema* schema, std::string_view name) {
  return schema ? schema->member(name) : nullptr;
}
// A key of a free map counts itself, as does a list's item; a declared field is only what is below it.
bool is_free_key(const Schema* schema, std::string_view name) { return !schema || !schema->properties.contains(name); }

void collect(const Schema* schema, const json::value& value, FieldSet& out, int depth) {
  if (depth < kMaxFieldDepth && is_granular_object(schema, value)) {
    if (value.get_object().empty()) out.member = true;
    for (const auto& member : value.get_object()) {
      FieldSet& child = out.children[field_edge(member.key())];
      collect(member_schema(schema, member.key()), member.value(), child, depth + 1);
      if (is_free_key(schema, member.key())) child.member = true;
    }
    return;
  }
  if (depth < kMaxFieldDepth && is_granular_list(schema, value)) {
    if (value.get_array().empty()) out.member = true;
    for (const json::value& item : value.get_array()) {
      const std::string edge = item_edge(*schema, item);
      if (edge.empty()) {
        out.member = true;
        continue;
      }
      FieldSet& child = out.children[edge];
      if (schema->is_list_map()) collect(schema->items.get(), item, child, depth + 1);
      child.member = true;
    }
    return;
  }
  out.member = true;
}

void attach(FieldSet& parent, std::string edge, FieldSet child) {
  if (!child.empty()) parent.children[std::move(edge)].add_all(child);
}

void compare(const Schema* schema, const json::value& before, const json::value& after, FieldChanges& out, int depth);

// One member or item that is on one or both sides.
void compare_child(const Schema* schema, const json::value* before, const json::value* after, bool counts_itself,
                   std::string edge, FieldChanges& out, int depth) {
  FieldChanges below;
  if (before && after) {
    compare(schema, *before, *after, below, depth);
  } else if (after) {
    collect(schema, *after, below.set, depth);
    below.set.member = below.set.member || counts_itself;
  } else {
    collect(schema, *before, below.removed, depth);
    below.removed.member = true;
  }
  attach(out.set, edge, std::move(below.set));
  attach(out.removed, std::move(edge), std::move(below.removed));
}

void compare_lists(const Schema& schema, const json::array& before, const json::array& after, FieldChanges& out,
                   int depth) {
  std::map<std::string, const json::value*> old;
  for (const json::value& item : before) old.emplace(item_edge(schema, item), &item);
  for (const json::value& item : after) {
    std::string edge = item_edge(schema, item);
    if (edge.empty()) {
      out.set.member = true;
      continue;
    }
    const auto found = old.find(edge);
    const json::value* was = found == old.end() ? nullptr : found->second;
    if (was) old.erase(found);
    if (was && schema.is_list_set()) continue;
    const Schema* items = schema.is_list_map() ? schema.items.get() : nullptr;
    compare_child(items, was, &item, true, std::move(edge), out, depth + 1);
  }
  for (auto& [edge, item] : old) {
    if (!edge.empty()) compare_child(schema.items.get(), item, nullptr, true, edge, out, depth + 1);
  }
}

void compare(const Schema* schema, const json::value& before, const json::value& after, FieldChanges& out, int depth) {
  if (depth < kMaxFieldDepth && is_granular_object(schema, before) && is_granular_object(schema, after)) {
    for (const auto& member : after.get_object()) {
      const json::value* was = before.get_object().if_contains(member.key());
      if (was && *was == member.value()) continue;
      compare_child(member_schema(schema, member.key()), was, &member.value(), is_free_key(schema, member.key()),
                    field_edge(member.key()), out, depth + 1);
    }
    for (const auto& member : before.get_object()) {
      if (after.get_object().contains(member.key())) continue;
      compare_child(member_schema(schema, member.key()), &member.value(), nullptr, true, field_edge(member.key()), out,
                    depth + 1);
    }
    return;
  }
  if (depth < kMaxFieldDepth && is_granular_list(schema, before) && is_granular_list(schema, after)) {
    compare_lists(*schema, before.get_array(), after.get_array(), out, depth);
    return;
  }
  if (before != after) collect(schema, after, out.set, depth);
}

// The server's own fields are nobody's.
void strip(FieldSet& set) {
  set.children.erase("f:apiVersion");
  set.children.erase("f:kind");
  const auto metadata = set.children.find("f:metadata");
  if (metadata == set.children.end()) return;
  for (const char* edge :
       {"f:name", "f:namespace", "f:creationTimestamp", "f:selfLink", "f:uid", "f:generation", "f:managedFields",
        "f:resourceVersion", "f:deletionTimestamp", "f:deletionGracePeriodSeconds"}) {
    metadata->second.children.erase(edge);
  }
  metadata->second.member = false;
  if (metadata->second.empty()) set.children.erase(metadata);
}

// One step of a printed path.
std::string printed(std::string_view edge) {
  const std::string_view rest = edge.substr(2);
  if (edge.starts_with("f:")) return fmt::format(".{}", rest);
  if (edge.starts_with("v:")) return fmt::format("[={}]", rest);
  auto keys = base::parse_json(rest, 4);
  std::string out;
  if (keys && keys->is_object()) {
    for (const auto& [name, value] : keys->get_object()) {
      out += fmt::format("{}{}={}", out.empty() ? "" : ",", std::string_view(name), json::serialize(value));
    }
  }
  return fmt::format("[{}]", out);
}

void print(const FieldSet& set, const std::string& prefix, std::vector<std::string>& out) {
  if (set.member) out.push_back(prefix);
  for (const auto& [edge, child] : set.children) print(child, prefix + printed(edge), out);
}

FieldSet read(const json::value& fields, int depth) {
  FieldSet out;
  if (!fields.is_object() || fields.get_object().empty() || depth > kMaxFieldDepth) {
    out.member = true;
    return out;
  }
  for (const auto& member : fields.get_object()) {
    const std::string_view key = member.key();
    if (key == ".") {
      out.member = true;
    } else if (key.size() >= 2 && key[1] == ':') {
      out.children.emplace(key, read(member.value(), depth + 1));
    }
  }
  return out;
}

}  // namespace

const FieldSet* FieldSet::child(std::string_view edge) const {
  const auto at = children.find(edge);
  return at == children.end() ? nullptr : &at->second;
}

void FieldSet::add_all(const FieldSet& other) {
  member = member || other.member;
  for (const auto& [edge, below] : other.children) children[edge].add_all(below);
}

void FieldSet::remove_all(const FieldSet& other) {
  if (other.member) member = false;
  for (const auto& [edge, below] : other.children) {
    const auto at = children.find(edge);
    if (at == children.end()) continue;
    at->second.remove_all(below);
    if (at->second.empty()) children.erase(at);
  }
}

FieldSet FieldSet::common_with(const FieldSet& other) const {
  FieldSet out;
  out.member = member && other.member;
  for (const auto& [edge, below] : children) {
    const FieldSet* theirs = other.child(edge);
    if (theirs) attach(out, edge, below.common_with(*theirs));
  }
  return out;
}

std::vector<std::string> FieldSet::paths() const {
  std::vector<std::string> out;
  print(*this, "", out);
  return out;
}

FieldSet FieldSet::from_json(const json::value& fields) {
  FieldSet out = read(fields, 0);
  if (fields.is_object() && fields.get_object().empty()) out.member = false;  // an empty set, not the root
  return out;
}

json::object FieldSet::to_json() const {
  json::object out;
  if (children.empty()) return out;
  if (member) out["."] = json::object();
  for (const auto& [edge, below] : children) out[edge] = below.to_json();
  return out;
}

std::string item_edge(const Schema& list, const json::value& item) {
  if (list.is_list_set()) return "v:" + json::serialize(item);
  if (!item.is_object()) return "";
  std::map<std::string_view, const json::value*> keys;  // sorted: one spelling for one key
  for (const std::string& name : list.list_map_keys) {
    const json::value* value = item.get_object().if_contains(name);
    if (!value) {
      const Schema* field = list.items->member(name);
      if (field && field->default_value) value = &*field->default_value;
    }
    if (value) keys[name] = value;
  }
  if (keys.empty()) return "";
  json::object out;
  for (const auto& [name, value] : keys) out[name] = *value;
  return "k:" + json::serialize(out);
}

FieldSet fields_of(const Schema& schema, const json::value& object) {
  FieldSet out;
  collect(&schema, object, out, 0);
  out.member = false;
  strip(out);
  return out;
}

FieldChanges changes_between(const Schema& schema, const json::value* before, const json::value& after) {
  FieldChanges out;
  if (before) {
    compare(&schema, *before, after, out, 0);
  } else {
    collect(&schema, after, out.set, 0);
  }
  out.set.member = false;
  strip(out.set);
  strip(out.removed);
  return out;
}

}  // namespace mainstay::api
