// Any text: parsed or refused; what was parsed is written so that it reads back the same, and patches undo themselves.
#include <cstdlib>

#include "base/json.h"

using namespace mainstay::base;

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto half = text.find('|');
  const auto value = parse_json(text.substr(0, half));
  if (!value) return 0;
  const auto again = parse_json(to_json(*value));
  // Boost.JSON 1.81 reads fractions to within one unit in the last place, so those may move.
  const bool exact = to_json(*value).find('E') == std::string::npos;
  if (!again || (exact && to_json(*again) != to_json(*value))) std::abort();
  if (half == std::string_view::npos) return 0;
  const auto other = parse_json(text.substr(half + 1));
  if (!other) return 0;
  json::value patched = *value;
  apply_merge_patch(patched, *other);
  json::value back = *value;
  apply_merge_patch(back, merge_diff(*value, patched));
  // Members that are null have no expression in a merge patch.
  if (back != patched && to_json(patched).find("null") == std::string::npos) std::abort();
  return 0;
}
