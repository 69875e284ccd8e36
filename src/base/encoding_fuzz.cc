// Encodings: what is decoded is encoded to the same again, and anything encoded comes back.
#include <cstdlib>

#include "base/encoding.h"

using namespace mainstay::base;

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (base64_decode(base64(text)).value_or("!") != text || base64url_decode(base64url(text)).value_or("!") != text ||
      hex_decode(hex(text)).value_or("!") != text || percent_decode(percent_encode(text)).value_or("!") != text)
    std::abort();
  if (const auto bytes = base64_decode(text); bytes && base64(*bytes) != text) std::abort();
  if (const auto bytes = base64url_decode(text); bytes && base64url_decode(base64url(*bytes)) != *bytes) std::abort();
  if (const auto bytes = hex_decode(text); bytes && hex_decode(hex(*bytes)) != *bytes) std::abort();
  if (const auto plain = percent_decode(text, true); plain && plain->size() > size) std::abort();
  return 0;
}
