// A key set and a token from anybody, a line each: neither reading nor verifying crashes, and nothing verifies by luck.
#include <cstdlib>

#include "crypto/issuer_keys.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  using namespace mainstay;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto line = text.find('\n');
  const auto keys = crypto::IssuerKeys::parse(text.substr(0, line));
  if (!keys || line == std::string_view::npos) return 0;
  const auto claims = keys->verify(text.substr(line + 1));
  if (claims && keys->size() == 0) std::abort();
  return 0;
}
