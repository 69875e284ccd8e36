#include "base/json.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/strings.h"

namespace mainstay::base {
namespace {

constexpr std::size_t kNoMore = std::string_view::npos;

// The next segment of a dotted path, cut off its front.
std::string_view take_segment(std::string_view& path, bool& more) {
  const auto dot = path.find('.');
  const std::string_view segment = path.substr(0, dot);
  more = dot != kNoMore;
  path = more ? path.substr(dot + 1) : std::string_view();
  return segment;
}

const json::value* step(const json::value* at, std::string_view key) {
  const json::object* object = at->if_object();
  return object ? object->if_contains(key) : nullptr;
}

json::value& step_making(json::value& at, std::string_view key) {
  if (!at.is_object()) at = json::object();
  return at.get_object()[key];
}

// A number past the range of a double comes out infinite, and would be written so that other readers refuse the whole
// text.
bool has_infinity(const json::value& value) {
  if (value.is_double()) return !std::isfinite(value.get_double());
  if (const auto* array = value.if_array()) return std::any_of(array->begin(), array->end(), has_infinity);
  const auto* object = value.if_object();
  return object && std::any_of(object->begin(), object->end(), [](const auto& m) { return has_infinity(m.value()); });
}

}  // namespace

Result<json::value> parse_json(std::string_view text, std::size_t max_depth) {
  json::parse_options options;
  options.max_depth = max_depth;
  json::stream_parser parser({}, options);
  json::error_code error;
  const std::size_t used = parser.write_some(text, error);
  if (!error && used < text.size()) {
    if (!trim(text.substr(used)).empty()) error = json::error::extra_data;
  }
  if (!error) parser.finish(error);
  if (error) return fail(ErrorCode::kInvalid, fmt::format("JSON: {} at byte {}", error.message(), used));
  json::value value = parser.release();
  if (has_infinity(value)) return fail(ErrorCode::kInvalid, "JSON: a number is out of range");
  return value;
}

std::string to_json(const json::value& value) { return json::serialize(value); }

const json::value* find(const json::value& value, std::string_view path) {
  const json::value* at = &value;
  for (bool more = true; at && more;) at = step(at, take_segment(path, more));
  return at;
}

json::value* find(json::value& value, std::string_view path) {
  return const_cast<json::value*>(find(std::as_const(value), path));
}

const json::value* find(const json::value& value, std::initializer_list<std::string_view> segments) {
  const json::value* at = &value;
  for (auto segment : segments) {
    at = step(at, segment);
    if (!at) break;
  }
  return at;
}

json::value* find(json::value& value, std::initializer_list<std::string_view> segments) {
  return const_cast<json::value*>(find(std::as_const(value), segments));
}

std::string get_string(const json::value& value, std::string_view path, std::string_view fallback) {
  const json::value* at = find(value, path);
  return std::string(at && at->is_string() ? std::string_view(at->get_string()) : fallback);
}

std::int64_t get_int(const json::value& value, std::string_view path, std::int64_t fallback) {
  const json::value* at = find(value, path);
  if (!at) return fallback;
  if (at->is_int64()) return at->get_int64();
  if (at->is_double()) {  // 3.0 is the integer 3 to JSON
    const double number = at->get_double();
    if (number >= -9007199254740992.0 && number <= 9007199254740992.0 &&
        static_cast<double>(static_cast<std::int64_t>(number)) == number) {
      return static_cast<std::int64_t>(number);
    }
  }
  return fallback;
}

bool get_bool(const json::value& value, std::string_view path, bool fallback) {
  const json::value* at = find(value, path);
  return at && at->is_bool() ? at->get_bool() : fallback;
}

const json::array& get_array(const json::value& value, std::string_view path) {
  static const json::array kEmpty;
  const json::value* at = find(value, path);
  return at && at->is_array() ? at->get_array() : kEmpty;
}

const json::object& get_object(const json::value& value, std::string_view path) {
  static const json::object kEmpty;
  const json::value* at = find(value, path);
  return at && at->is_object() ? at->get_object() : kEmpty;
}

void set(json::value& value, std::string_view path, json::value what) {
  json::value* at = &value;
  for (bool more = true; more;) at = &step_making(*at, take_segment(path, more));
  *at = std::move(what);
}

void set(json::value& value, std::initializer_list<std::string_view> segments, json::value what) {
  json::value* at = &value;
  for (auto segment : segments) at = &step_making(*at, segment);
  *at = std::move(what);
}

bool erase(json::value& value, std::string_view path) {
  const auto dot = path.rfind('.');
  json::value* holder = dot == kNoMore ? &value : find(value, path.substr(0, dot));
  json::object* object = holder ? holder->if_object() : nullptr;
  // stable_erase: the fields that stay keep their order in what users see
  if (!object) return false;
  const auto at = object->find(dot == kNoMore ? path : path.substr(dot + 1));
  if (at == object->end()) return false;
  object->stable_erase(at);
  return true;
}

std::string label(const json::value& object, std::string_view key) {
  const json::value* at = find(object, {"metadata", "labels", key});
  return at && at->is_string() ? std::string(at->get_string()) : std::string();
}

std::string annotation(const json::value& object, std::string_view key) {
  const json::value* at = find(object, {"metadata", "annotations", key});
  return at && at->is_string() ? std::string(at->get_string()) : std::string();
}

void apply_merge_patch(json::value& target, const json::value& patch) {
  const json::object* changes = patch.if_object();
  if (!changes) {
    target = patch;
    return;
  }
  if (!target.is_object()) target = json::object();
  json::object& object = target.get_object();
  for (const auto& [key, change] : *changes) {
    if (!change.is_null()) {
      apply_merge_patch(object[key], change);
    } else if (const auto at = object.find(key); at != object.end()) {
      object.stable_erase(at);
    }
  }
}

json::value merge_diff(const json::value& from, const json::value& to) {
  const json::object* after = to.if_object();
  const json::object* before = from.if_object();
  if (!after) return to;
  json::object patch;
  if (before) {
    for (const auto& member : *before) {
      if (!after->contains(member.key())) patch[member.key()] = nullptr;
    }
  }
  for (const auto& [key, value] : *after) {
    const json::value* old = before ? before->if_contains(key) : nullptr;
    if (old && *old == value) continue;
    if (value.is_object()) {
      patch[key] = merge_diff(old ? *old : json::value(), value);
    } else {
      patch[key] = value;
    }
  }
  return patch;
}

}  // namespace mainstay::base
