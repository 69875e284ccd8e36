// Server-side apply: a manager says what it wants of an object; what it no longer says goes, what others own stays
// theirs. The algorithm follows Kubernetes' documentation of server-side apply ("Merge strategy", "Conflicts").
#include <fmt/format.h>

#include "api/managed_fields.h"
#include "api/verbs.h"
#include "base/status.h"
#include "base/strings.h"

namespace mainstay::api {
namespace json = base::json;
namespace {

// Items that cannot be told apart, or from those of others, cannot be merged.
void check_items(const Schema* schema, const json::value& applied, int depth) {
  if (!schema || depth > kMaxFieldDepth) return;
  if (const json::object* object = applied.if_object()) {
    for (const auto& member : *object) check_items(schema->member(member.key()), member.value(), depth + 1);
    return;
  }
  const json::array* items = applied.if_array();
  if (!items || !schema->items) return;
  std::set<std::string> seen;
  for (const json::value& item : *items) {
    if (!schema->is_atomic()) {
      const std::string edge = item_edge(*schema, item);
      if (edge.empty()) {
        throw base::bad_request(fmt::format("the applied configuration has a list item without its key {}",
                                            base::join(schema->list_map_keys, ", ")));
      }
      if (!seen.insert(edge).second) {
        throw base::bad_request(fmt::format("the applied configuration has duplicate list entries for {}", edge));
      }
    }
    check_items(schema->items.get(), item, depth + 1);
  }
}

json::value merge(const Schema* schema, const json::value* live, const json::value& applied, int depth);

// Items of both keep the applied order among themselves; items of `live` alone stay where they stand.
json::value merge_lists(const Schema& schema, const json::array& live, const json::array& applied, int depth) {
  std::vector<std::string> edges;
  std::map<std::string, const json::value*> in_live;
  std::set<std::string> in_applied;
  for (const json::value& item : applied) {
    edges.push_back(item_edge(schema, item));
    in_applied.insert(edges.back());
  }
  for (const json::value& item : live) in_live.emplace(item_edge(schema, item), &item);
  json::array out;
  std::size_t next = 0;
  const auto emit = [&] {
    const auto was = in_live.find(edges[next]);
    out.push_back(merge(schema.items.get(), was == in_live.end() ? nullptr : was->second, applied[next], depth + 1));
    ++next;
  };
  for (const json::value& item : live) {
    if (!in_applied.contains(item_edge(schema, item))) {
      out.push_back(item);
      continue;
    }
    if (next >= applied.size()) continue;  // a duplicate in what is stored
    while (next < applied.size() && !in_live.contains(edges[next])) emit();
    if (next < applied.size()) emit();
  }
  while (next < applied.size()) emit();
  return out;
}

json::value merge(const Schema* schema, const json::value* live, const json::value& applied, int depth) {
  if (!live || depth > kMaxFieldDepth) return applied;
  if (live->is_object() && applied.is_object() && (!schema || !schema->is_atomic())) {
    json::value out = *live;
    for (const auto& member : applied.get_object()) {
      json::value& slot = out.get_object()[member.key()];
      const json::value* was = live->get_object().if_contains(member.key());
      slot = merge(schema ? schema->member(member.key()) : nullptr, was, member.value(), depth + 1);
    }
    return out;
  }
  if (live->is_array() && applied.is_array() && schema && schema->items && !schema->is_atomic()) {
    return merge_lists(*schema, live->get_array(), applied.get_array(), depth);
  }
  return applied;
}

bool is_empty_container(const json::value& value) {
  return (value.is_object() && value.get_object().empty()) || (value.is_array() && value.get_array().empty());
}

// Takes out what `gone` holds. `kept` is what some manager still owns: an object others have fields in stays.
void remove_fields(const Schema* schema, json::value& value, const FieldSet& gone, const FieldSet* kept) {
  if (json::object* object = value.if_object()) {
    for (const auto& [edge, below] : gone.children) {
      if (!edge.starts_with("f:")) continue;
      const std::string_view name = std::string_view(edge).substr(2);
      const auto member = object->find(name);
      if (member == object->end()) continue;
      const FieldSet* owned = kept ? kept->child(edge) : nullptr;
      const bool whole = below.member && (!owned || owned->children.empty());
      const bool was_empty = is_empty_container(member->value());
      if (!whole) remove_fields(schema ? schema->member(name) : nullptr, member->value(), below, owned);
      if (whole || (!was_empty && !owned && is_empty_container(member->value()))) object->stable_erase(member);
    }
    return;
  }
  json::array* items = value.if_array();
  if (!items || !schema || !schema->items) return;
  json::array rest;
  for (json::value& item : *items) {
    const std::string edge = item_edge(*schema, item);
    const FieldSet* below = gone.child(edge);
    if (below && below->member) continue;
    if (below) remove_fields(schema->items.get(), item, *below, kept ? kept->child(edge) : nullptr);
    rest.push_back(std::move(item));
  }
  *items = std::move(rest);
}

struct Conflict {
  std::string manager, path;
};

[[noreturn]] void refuse(const std::vector<Conflict>& conflicts) {
  json::array causes;
  std::string text;
  std::string last;
  for (const Conflict& one : conflicts) {
    causes.push_back(json::object{{"reason", "FieldManagerConflict"},
                                  {"message", fmt::format("conflict with {}", one.manager)},
                                  {"field", one.path}});
    if (conflicts.size() == 1) {
      text = fmt::format("conflict with {}: {}", one.manager, one.path);
      break;
    }
    if (one.manager != last) text += fmt::format("{}conflicts with {}:", text.empty() ? "" : "\n", one.manager);
    text += fmt::format("\n- {}", one.path);
    last = one.manager;
  }
  throw base::StatusError(
      409, "Conflict",
      fmt::format("Apply failed with {} conflict{}: {}", conflicts.size(), conflicts.size() == 1 ? "" : "s", text),
      {{"causes", std::move(causes)}});
}

Manager& own_entry(std::vector<Manager>& managers, std::string_view name, std::string_view subresource) {
  for (Manager& one : managers) {
    if (one.operation == "Apply" && one.name == name && one.subresource == subresource) return one;
  }
  Manager& added = managers.emplace_back();
  added.name = name;
  added.operation = "Apply";
  added.subresource = subresource;
  return added;
}

}  // namespace

json::value server_side_apply(const Schema& schema, const json::value* live, const json::value& applied,
                              std::string_view manager, bool force, std::string_view api_version, base::SystemTime now,
                              std::string_view subresource) {
  std::vector<Manager> managers = live ? read_managers(*live) : std::vector<Manager>();
  if (live && managers.empty()) {
    // Nobody is known to own what is there: it must not be lost to the first who applies.
    managers.push_back(
        {"before-first-apply", "Update", std::string(api_version), "", base::rfc3339(now), fields_of(schema, *live)});
  }
  check_items(&schema, applied, 0);
  json::value merged = merge(&schema, live, applied, 0);
  FieldSet wanted = fields_of(schema, applied);
  Manager& own = own_entry(managers, manager, subresource);

  FieldSet kept = wanted;
  for (const Manager& one : managers) {
    if (&one != &own) kept.add_all(one.fields);
  }
  FieldSet gone = own.fields;
  gone.remove_all(kept);
  remove_fields(&schema, merged, gone, &kept);

  if (live) {
    const FieldChanges changes = changes_between(schema, live, merged);
    std::vector<Conflict> conflicts;
    for (Manager& one : managers) {
      if (&one == &own) continue;
      const FieldSet contested = one.fields.common_with(changes.set);
      if (!force) {
        for (std::string& path : contested.paths()) conflicts.push_back({one.to_string(), std::move(path)});
      }
      one.fields.remove_all(contested);
      one.fields.remove_all(changes.removed);
    }
    if (!conflicts.empty()) refuse(conflicts);
  }
  if (own.fields != wanted || own.api_version != api_version) own.time = base::rfc3339(now);
  own.fields = std::move(wanted);
  own.api_version = api_version;
  write_managers(std::move(managers), merged);
  return merged;
}

}  // namespace mainstay::api
