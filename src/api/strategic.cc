// Kubernetes' strategic merge patch: lists merge by the keys their schema declares, and directives ($patch,
// $retainKeys, $setElementOrder, $deleteFromPrimitiveList) say what a plain merge cannot.
#include <fmt/format.h>

#include "api/verbs.h"

namespace mainstay::api {
namespace json = base::json;
using base::ErrorCode;
using base::fail;
using base::Result;

namespace {

constexpr std::string_view kPatch = "$patch";
constexpr std::string_view kRetainKeys = "$retainKeys";
constexpr std::string_view kSetOrder = "$setElementOrder/";
constexpr std::string_view kDeleteFrom = "$deleteFromPrimitiveList/";
constexpr int kMaxDepth = 64;
constexpr std::size_t kMaxCompared = 20'000'000;  // pairs of items and names, over the whole patch

std::unexpected<base::Error> bad(std::string why) {
  return fail(ErrorCode::kInvalid, "strategic merge patch: " + std::move(why));
}

bool merges(const Schema* schema) {
  return schema && schema->type == "array" && schema->items &&
         schema->patch_strategy.find("merge") != std::string::npos;
}
bool by_key(const Schema* schema) { return merges(schema) && !schema->patch_merge_key.empty(); }
bool is_directive(std::string_view key) {
  return key == kPatch || key == kRetainKeys || key.starts_with(kSetOrder) || key.starts_with(kDeleteFrom);
}

std::string directive_of(const json::value& value) {
  const json::object* object = value.if_object();
  const json::value* directive = object ? object->if_contains(kPatch) : nullptr;
  return directive && directive->is_string() ? std::string(directive->get_string()) : std::string();
}

// What a patch means where there is nothing to patch: itself, without directives and nulls.
json::value plain(const json::value& patch, int depth = 0) {
  if (depth > kMaxDepth) return {};
  if (const json::object* object = patch.if_object()) {
    json::object out;
    for (const auto& member : *object) {
      if (is_directive(member.key()) || member.value().is_null()) continue;
      out[member.key()] = plain(member.value(), depth + 1);
    }
    return out;
  }
  if (const json::array* items = patch.if_array()) {
    json::array out;
    for (const json::value& item : *items) {
      const std::string directive = directive_of(item);
      if (directive == "delete" || (directive == "replace" && item.get_object().size() == 1)) continue;
      out.push_back(plain(item, depth + 1));
    }
    return out;
  }
  return patch;
}

const json::value* key_of(const json::value& item, const std::string& merge_key) {
  if (merge_key.empty()) return &item;
  const json::object* object = item.if_object();
  return object ? object->if_contains(merge_key) : nullptr;
}

// Where the item with the key stands; npos where it is missing.
std::size_t index_of(const json::array& items, const json::value& key, const std::string& merge_key) {
  for (std::size_t i = 0; i < items.size(); ++i) {
    const json::value* own = key_of(items[i], merge_key);
    if (own && *own == key) return i;
  }
  return std::string::npos;
}

class Merger {
 public:
  Result<> merge_object(const Schema* schema, json::object& target, const json::object& patch, int depth) {
    if (depth > kMaxDepth) return bad("it nests too deeply");
    if (patch.contains(kPatch)) {
      const std::string directive = directive_of(json::value(patch));
      if (directive == "replace") {
        target = std::move(plain(patch).get_object());
        return {};
      }
      if (directive == "delete") {
        target.clear();
        return {};
      }
      if (directive != "merge") return bad("$patch must be merge, replace or delete");
    }
    MAINSTAY_TRY_VOID(retain_keys(target, patch));
    for (const auto& member : patch) {
      const std::string_view key = member.key();
      if (key.starts_with(kDeleteFrom)) {
        MAINSTAY_TRY_VOID(delete_from(target, key.substr(kDeleteFrom.size()), member.value()));
      } else if (!is_directive(key)) {
        MAINSTAY_TRY_VOID(
            merge_member(schema ? schema->member(key) : nullptr, target, patch, key, member.value(), depth));
      }
    }
    // An order may also be given for a list the patch does not touch otherwise.
    for (const auto& member : patch) {
      const std::string_view key = member.key();
      if (!key.starts_with(kSetOrder)) continue;
      const std::string_view name = key.substr(kSetOrder.size());
      if (patch.contains(name)) continue;
      json::value* list = target.if_contains(name);
      if (!list || !list->is_array()) continue;
      const json::array before = list->get_array();
      MAINSTAY_TRY_VOID(order(schema ? schema->member(name) : nullptr, list->get_array(), before, member.value()));
    }
    return {};
  }

 private:
  // Items are looked for one by one, which two long lists make a matter of minutes.
  Result<> compare(std::size_t one, std::size_t other) {
    compared_ += one * other;
    if (compared_ > kMaxCompared)
      return fail(ErrorCode::kTooLarge,
                  "strategic merge patch: its lists, and those it changes, are too long to merge");
    return {};
  }

  Result<std::size_t> find(const json::array& items, const json::value& key, const std::string& merge_key) {
    const std::size_t index = index_of(items, key, merge_key);
    MAINSTAY_TRY_VOID(compare(std::min(index, items.size()) + 1, 1));
    return index;
  }

  Result<> erase(json::array& items, std::size_t index) {
    MAINSTAY_TRY_VOID(compare((items.size() - index) / 16, 1));  // what closes up behind it is cheaper than comparing
    items.erase(items.begin() + static_cast<std::ptrdiff_t>(index));
    return {};
  }

  Result<> retain_keys(json::object& target, const json::object& patch) {
    const json::value* retain = patch.if_contains(kRetainKeys);
    if (!retain) return {};
    if (!retain->is_array()) return bad("$retainKeys must be a list of names");
    MAINSTAY_TRY_VOID(compare(target.size(), retain->get_array().size()));
    json::object kept(target.storage());
    for (auto& member : target) {
      const json::value key = json::value(member.key());
      if (std::ranges::find(retain->get_array(), key) != retain->get_array().end())
        kept[member.key()] = std::move(member.value());
    }
    target = std::move(kept);
    return {};
  }

  Result<> delete_from(json::object& target, std::string_view name, const json::value& values) {
    if (!values.is_array()) return bad("$deleteFromPrimitiveList must be a list");
    json::value* list = target.if_contains(name);
    if (!list || !list->is_array()) return {};
    MAINSTAY_TRY_VOID(compare(list->get_array().size(), values.get_array().size()));
    json::array rest;
    for (json::value& item : list->get_array()) {
      if (std::ranges::find(values.get_array(), item) == values.get_array().end()) rest.push_back(std::move(item));
    }
    *list = std::move(rest);
    return {};
  }

  Result<> merge_member(const Schema* schema, json::object& target, const json::object& patch, std::string_view key,
                        const json::value& change, int depth) {
    const auto at = target.find(key);
    if (change.is_null()) {
      if (at != target.end()) target.stable_erase(at);
      return {};
    }
    const bool replaces = schema && schema->patch_strategy == "replace";
    if (at == target.end() || replaces) {
      target[key] = plain(change);
      return {};
    }
    json::value& value = at->value();
    if (value.is_object() && change.is_object())
      return merge_object(schema, value.get_object(), change.get_object(), depth + 1);
    if (!value.is_array() || !change.is_array() || !merges(schema)) {
      value = plain(change);
      return {};
    }
    const json::array before = value.get_array();
    MAINSTAY_TRY_VOID(by_key(schema) ? merge_keyed(*schema, value.get_array(), change.get_array(), depth)
                                     : merge_primitives(value.get_array(), change.get_array()));
    const json::value* wanted = patch.if_contains(std::string(kSetOrder) + std::string(key));
    return wanted ? order(schema, value.get_array(), before, *wanted) : Result<>();
  }

  Result<> merge_primitives(json::array& target, const json::array& patch) {
    for (const json::value& item : patch) {
      MAINSTAY_TRY_VOID(compare(target.size(), 1));
      if (std::ranges::find(target, item) == target.end()) target.push_back(item);
    }
    return {};
  }

  Result<> merge_keyed(const Schema& schema, json::array& target, const json::array& patch, int depth) {
    const bool replace =
        std::ranges::any_of(patch, [](const json::value& item) { return directive_of(item) == "replace"; });
    if (replace) {
      target = std::move(plain(patch).get_array());
      return {};
    }
    const std::string& merge_key = schema.patch_merge_key;
    for (const json::value& item : patch) {
      if (!item.is_object()) return bad(fmt::format("the items of a list merged by {} must be objects", merge_key));
      const json::value* key = key_of(item, merge_key);
      if (!key) return bad(fmt::format("an item does not contain the declared merge key: {}", merge_key));
      MAINSTAY_TRY(std::size_t index, find(target, *key, merge_key));
      if (directive_of(item) == "delete") {
        while (index != std::string::npos) {
          MAINSTAY_TRY_VOID(erase(target, index));
          MAINSTAY_TRY(index, find(target, *key, merge_key));
        }
      } else if (index == std::string::npos) {
        target.push_back(plain(item));
      } else if (target[index].is_object()) {
        MAINSTAY_TRY_VOID(merge_object(schema.items.get(), target[index].get_object(), item.get_object(), depth + 1));
      }
    }
    return {};
  }

  // Items named in `wanted` take its order. The others keep theirs, and their place before those that stood behind
  // them.
  Result<> order(const Schema* schema, json::array& items, const json::array& before, const json::value& wanted) {
    if (!wanted.is_array()) return bad("$setElementOrder must be a list");
    const std::string merge_key = by_key(schema) ? schema->patch_merge_key : std::string();
    json::array named, others;
    for (const json::value& one : wanted.get_array()) {
      const json::value* key = key_of(one, merge_key);
      if (!key) return bad(fmt::format("$setElementOrder: an entry lacks the merge key {}", merge_key));
      MAINSTAY_TRY(const std::size_t index, find(items, *key, merge_key));
      if (index == std::string::npos) continue;
      named.push_back(std::move(items[index]));
      MAINSTAY_TRY_VOID(erase(items, index));
    }
    others = std::move(items);
    const auto place = [&](const json::value& item) -> Result<std::size_t> {
      const json::value* key = key_of(item, merge_key);
      if (!key) return std::string::npos;
      return find(before, *key, merge_key);
    };
    json::array out;
    std::size_t i = 0, j = 0;
    while (i < others.size() || j < named.size()) {
      bool other_first = j == named.size();
      if (!other_first && i < others.size()) {
        MAINSTAY_TRY(const std::size_t a, place(others[i]));
        MAINSTAY_TRY(const std::size_t b, place(named[j]));
        other_first = a != std::string::npos && b != std::string::npos && a < b;
      }
      out.push_back(std::move(other_first ? others[i++] : named[j++]));
    }
    items = std::move(out);
    return {};
  }

  std::size_t compared_ = 0;
};

}  // namespace

Result<> apply_strategic_patch(const Schema& schema, json::value& target, const json::value& patch) {
  if (!patch.is_object()) return bad("it must be a JSON object");
  if (!target.is_object()) target = json::object();
  return Merger().merge_object(&schema, target.get_object(), patch.get_object(), 0);
}

}  // namespace mainstay::api
