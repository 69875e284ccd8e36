// RFC 6902 over RFC 6901 pointers, bounded: at most kMaxOperations, and copies may not blow the document up.
#include <fmt/format.h>

#include "api/verbs.h"
#include "base/strings.h"

namespace mainstay::api {
namespace json = base::json;
using base::ErrorCode;
using base::fail;
using base::Result;

namespace {

constexpr std::size_t kMaxOperations = 10'000;
constexpr std::size_t kMaxCopied = 4u << 20;     // bytes made by `copy`, over all operations
constexpr std::size_t kMaxShifted = 20'000'000;  // see Spent
constexpr std::size_t kMaxSegments = 64;
constexpr int kMaxDepth =
    96;  // of the document at any time: what is deeper could not be freed without recursing as deep

using Pointer = std::vector<std::string>;

std::unexpected<base::Error> bad(std::string why) { return fail(ErrorCode::kInvalid, std::move(why)); }

// A segment unescaped: ~1 is '/', ~0 is '~' (RFC 6901, section 4).
Result<std::string> unescape(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '~') {
      out += text[i];
    } else if (i + 1 < text.size() && (text[i + 1] == '0' || text[i + 1] == '1')) {
      out += text[++i] == '0' ? '~' : '/';
    } else {
      return bad("a '~' in a JSON pointer must be followed by 0 or 1");
    }
  }
  return out;
}

Result<Pointer> parse_pointer(std::string_view text) {
  Pointer out;
  if (text.empty()) return out;
  if (text.front() != '/') return bad("a JSON pointer must be empty or begin with '/'");
  for (std::string_view part : base::split(text.substr(1), '/')) {
    if (out.size() == kMaxSegments)
      return bad(fmt::format("a JSON pointer may have at most {} segments", kMaxSegments));
    MAINSTAY_TRY(auto segment, unescape(part));
    out.push_back(std::move(segment));
  }
  return out;
}

// The index an array segment names; `size` is the end, where `insert` allows it.
Result<std::size_t> parse_index(const std::string& segment, std::size_t size, bool insert) {
  if (segment == "-") {
    if (insert) return size;
    return bad("'-' names the end of a list, where there is nothing");
  }
  std::size_t index = 0;
  const auto [end, error] = std::from_chars(segment.data(), segment.data() + segment.size(), index);
  if (error != std::errc{} || end != segment.data() + segment.size() || (segment.size() > 1 && segment[0] == '0')) {
    return bad(fmt::format("\"{}\" is no list index", segment));
  }
  if (index > size || (index == size && !insert))
    return bad(fmt::format("the index {} is out of a list of {}", index, size));
  return index;
}

Result<json::value*> step(json::value& at, const std::string& segment) {
  if (json::object* object = at.if_object()) {
    json::value* member = object->if_contains(segment);
    if (!member) return bad(fmt::format("there is no member \"{}\"", segment));
    return member;
  }
  if (json::array* items = at.if_array()) {
    MAINSTAY_TRY(const std::size_t index, parse_index(segment, items->size(), false));
    return &(*items)[index];
  }
  return bad(fmt::format("\"{}\" leads into a value that is neither object nor list", segment));
}

Result<json::value*> walk(json::value& root, std::span<const std::string> path) {
  json::value* at = &root;
  for (const std::string& segment : path) {
    MAINSTAY_TRY(at, step(*at, segment));
  }
  return at;
}

// Never recurses deeper than `most`.
bool deeper_than(const json::value& value, int most) {
  if (most < 0) return true;
  if (const json::object* object = value.if_object()) {
    return std::ranges::any_of(*object, [&](const auto& member) { return deeper_than(member.value(), most - 1); });
  }
  const json::array* items = value.if_array();
  return items && std::ranges::any_of(*items, [&](const json::value& item) { return deeper_than(item, most - 1); });
}

// What the operations together have cost: each may be small, and the list it works on large.
struct Spent {
  std::size_t copied = 0;   // bytes
  std::size_t shifted = 0;  // places of lists and objects that made room or closed a gap, and values that moved
};

Result<> shift(Spent& spent, std::size_t places) {
  spent.shifted += places;
  if (spent.shifted > kMaxShifted) return fail(ErrorCode::kTooLarge, "the operations move too much of the document");
  return {};
}

Result<> add(json::value& root, const Pointer& path, json::value value, Spent& spent) {
  if (deeper_than(value, kMaxDepth - static_cast<int>(path.size()))) {
    return fail(ErrorCode::kTooLarge, fmt::format("the document may not nest deeper than {} levels", kMaxDepth));
  }
  if (path.empty()) {
    root = std::move(value);
    return {};
  }
  MAINSTAY_TRY(json::value * parent, walk(root, std::span(path).first(path.size() - 1)));
  if (json::object* object = parent->if_object()) {
    (*object)[path.back()] = std::move(value);
    return {};
  }
  json::array* items = parent->if_array();
  if (!items) return bad("the parent of the path is neither object nor list");
  MAINSTAY_TRY(const std::size_t index, parse_index(path.back(), items->size(), true));
  MAINSTAY_TRY_VOID(shift(spent, items->size() - index));
  items->insert(items->begin() + static_cast<std::ptrdiff_t>(index), std::move(value));
  return {};
}

Result<json::value> remove(json::value& root, const Pointer& path, Spent& spent) {
  if (path.empty()) return bad("the whole document cannot be removed");
  MAINSTAY_TRY(json::value * parent, walk(root, std::span(path).first(path.size() - 1)));
  MAINSTAY_TRY(json::value * target, step(*parent, path.back()));
  if (json::object* object = parent->if_object()) {
    MAINSTAY_TRY_VOID(shift(spent, object->size()));
    json::value out = std::move(*target);
    object->stable_erase(object->find(path.back()));
    return out;
  }
  json::array& items = parent->get_array();
  MAINSTAY_TRY_VOID(shift(spent, static_cast<std::size_t>(items.data() + items.size() - target)));
  json::value out = std::move(*target);
  items.erase(items.begin() + (target - items.data()));
  return out;
}

std::size_t count_values(const json::value& value) {
  std::size_t count = 1;
  if (value.is_object()) {
    for (const auto& member : value.get_object()) count += count_values(member.value());
  } else if (value.is_array()) {
    for (const json::value& item : value.get_array()) count += count_values(item);
  }
  return count;
}

// The memory a copy takes, near enough.
std::size_t bytes_of(const json::value& value) {
  std::size_t bytes = sizeof(json::value);
  if (value.is_object()) {
    for (const auto& member : value.get_object()) bytes += member.key().size() + bytes_of(member.value());
  } else if (value.is_array()) {
    for (const json::value& item : value.get_array()) bytes += bytes_of(item);
  } else if (value.is_string()) {
    bytes += value.get_string().size();
  }
  return bytes;
}

struct Operation {
  std::string op;
  Pointer path, from;
  const json::value* value = nullptr;
};

Result<Operation> read_operation(const json::value& source) {
  if (!source.is_object()) return bad("each operation must be an object");
  Operation out;
  out.op = base::get_string(source, "op");
  const json::value* path = base::find(source, "path");
  if (!path || !path->is_string()) return bad("path is missing");
  MAINSTAY_TRY(out.path, parse_pointer(path->get_string()));
  if (out.op == "move" || out.op == "copy") {
    const json::value* from = base::find(source, "from");
    if (!from || !from->is_string()) return bad("from is missing");
    MAINSTAY_TRY(out.from, parse_pointer(from->get_string()));
  } else if (out.op == "add" || out.op == "replace" || out.op == "test") {
    out.value = source.get_object().if_contains("value");
    if (!out.value) return bad("value is missing");
  } else if (out.op != "remove") {
    return bad(fmt::format("unknown op \"{}\"", out.op));
  }
  return out;
}

Result<> apply_operation(json::value& target, const Operation& operation, Spent& spent) {
  const std::string& op = operation.op;
  if (op == "add") return add(target, operation.path, *operation.value, spent);
  if (op == "remove") {
    MAINSTAY_TRY_VOID(remove(target, operation.path, spent));
    return {};
  }
  if (op == "replace") {
    MAINSTAY_TRY(json::value * at, walk(target, operation.path));
    *at = *operation.value;
    return {};
  }
  if (op == "test") {
    auto at = walk(target, operation.path);
    if (!at || **at != *operation.value) return fail(ErrorCode::kConflict, "the value tested is another");
    return {};
  }
  if (op == "move") {
    const auto prefix = std::ranges::mismatch(operation.from, operation.path);
    if (prefix.in1 == operation.from.end() && operation.path.size() > operation.from.size()) {
      return bad("a value cannot be moved into itself");
    }
    MAINSTAY_TRY(json::value moved, remove(target, operation.from, spent));
    MAINSTAY_TRY_VOID(shift(spent, count_values(moved)));
    return add(target, operation.path, std::move(moved), spent);
  }
  MAINSTAY_TRY(json::value * source, walk(target, operation.from));
  spent.copied += bytes_of(*source);
  if (spent.copied > kMaxCopied) return fail(ErrorCode::kTooLarge, "copies make the document too large");
  return add(target, operation.path, json::value(*source), spent);
}

}  // namespace

Result<> apply_json_patch(json::value& target, const json::value& patch) {
  if (!patch.is_array()) return bad("a JSON patch must be a list of operations (RFC 6902)");
  const json::array& operations = patch.get_array();
  if (operations.size() > kMaxOperations) {
    return fail(ErrorCode::kTooLarge, fmt::format("a JSON patch may have at most {} operations", kMaxOperations));
  }
  Spent spent;
  for (std::size_t i = 0; i < operations.size(); ++i) {
    auto operation = read_operation(operations[i]);
    auto done = operation ? apply_operation(target, *operation, spent) : std::unexpected(operation.error());
    if (done) continue;
    const std::string path = base::get_string(operations[i], "path");
    return fail(done.error().code,
                fmt::format("operation {} of the JSON patch (path \"{}\"): {}", i,
                            path.size() > 200 ? path.substr(0, 200) + "…" : path, done.error().message));
  }
  return {};
}

}  // namespace mainstay::api
