#include <string_view>

#include "api/request_info.h"

// The first byte picks the reader; the rest is what a client would send in a path or a header.
extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 3) {
    case 0:
      if (auto path = mainstay::api::parse_object_path(text)) {
        if (path->resource.empty() || path->version.empty()) __builtin_trap();
        mainstay::api::object_verb("GET", *path, {});
      }
      break;
    case 1:
      mainstay::api::negotiate(text, data[0] & 1);
      break;
    default:
      mainstay::api::body_kind(text);
  }
  return 0;
}
