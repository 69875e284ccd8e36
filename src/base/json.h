// Helpers over Boost.JSON for reading and changing API objects, which are plain json values.
// A path is dotted ("spec.template.spec"); a segment with dots in it must be passed as a span of segments.
#pragma once
#include <boost/json.hpp>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

#include "base/result.h"

namespace mainstay::base {
namespace json = boost::json;

// Bounds for parsing untrusted text: at most `max_depth` nested containers.
Result<json::value> parse_json(std::string_view text, std::size_t max_depth = 64);
std::string to_json(const json::value& value);

// The value at the path, or nullptr where a step is missing or not an object.
const json::value* find(const json::value& value, std::string_view path);
json::value* find(json::value& value, std::string_view path);
const json::value* find(const json::value& value, std::initializer_list<std::string_view> segments);
json::value* find(json::value& value, std::initializer_list<std::string_view> segments);

// Typed reads: the fallback where missing, null or of another type.
std::string get_string(const json::value& value, std::string_view path, std::string_view fallback = "");
std::int64_t get_int(const json::value& value, std::string_view path, std::int64_t fallback = 0);
bool get_bool(const json::value& value, std::string_view path, bool fallback = false);
const json::array& get_array(const json::value& value, std::string_view path);    // a static empty one where missing
const json::object& get_object(const json::value& value, std::string_view path);  // likewise

// Sets the value at the path, making objects on the way (a non-object on the way is replaced).
void set(json::value& value, std::string_view path, json::value what);
void set(json::value& value, std::initializer_list<std::string_view> segments, json::value what);
bool erase(json::value& value, std::string_view path);  // true where something was there

// metadata.labels / metadata.annotations of an object; "" where missing.
std::string label(const json::value& object, std::string_view key);
std::string annotation(const json::value& object, std::string_view key);

// RFC 7386. merge_diff(a, b) is the smallest patch with apply_merge_patch(a, patch) == b (arrays whole); members of b
// that are null cannot be expressed in a merge patch and come out absent.
void apply_merge_patch(json::value& target, const json::value& patch);
json::value merge_diff(const json::value& from, const json::value& to);

}  // namespace mainstay::base
