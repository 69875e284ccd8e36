// JSON written shortly in tests: single quotes instead of double ones.
#pragma once
#include <string>
#include <string_view>

#include "base/json.h"

namespace mainstay::api {

inline base::json::value js(std::string_view text) {
  std::string plain(text);
  for (char& c : plain) c = c == '\'' ? '"' : c;
  return base::parse_json(plain).value();
}

}  // namespace mainstay::api
