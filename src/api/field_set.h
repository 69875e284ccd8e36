// Sets of fields, as server-side apply keeps them for each manager (FieldsV1): a tree whose edges are "f:<field>",
// "k:<keys of a list item as JSON>" and "v:<item of a set as JSON>". Internal to api/.
#pragma once
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "api/types.h"
#include "base/json.h"

namespace mainstay::api {

struct FieldSet {
  bool member = false;  // the path to here is itself in the set
  std::map<std::string, FieldSet, std::less<>> children;

  bool empty() const { return !member && children.empty(); }
  const FieldSet* child(std::string_view edge) const;
  void add_all(const FieldSet& other);
  void remove_all(const FieldSet& other);
  FieldSet common_with(const FieldSet& other) const;
  // ".spec.containers[name=\"web\"].image", one a member, in order.
  std::vector<std::string> paths() const;
  bool operator==(const FieldSet&) const = default;

  static FieldSet from_json(const base::json::value& fields);
  base::json::object to_json() const;
};

// The edge to an item of a list that is keyed or a set. "" where the item does not fit the list's keys.
std::string item_edge(const Schema& list, const base::json::value& item);

// The fields an object has: leaves, items of keyed lists and sets, keys of free maps, and what is empty.
FieldSet fields_of(const Schema& schema, const base::json::value& object);

// What differs between two states of an object. Metadata that the server keeps is left out.
struct FieldChanges {
  FieldSet set;  // added or modified
  FieldSet removed;
};
FieldChanges changes_between(const Schema& schema, const base::json::value* before, const base::json::value& after);

// A bound on the depth of what is walked recursively; deeper parts count as one leaf.
inline constexpr int kMaxFieldDepth = 64;

}  // namespace mainstay::api
