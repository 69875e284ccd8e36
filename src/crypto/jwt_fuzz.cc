// A token from anybody: verification neither crashes nor accepts.
#include <cstdlib>

#include "crypto/jwt.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  using namespace mainstay;
  static const std::vector<crypto::PrivateKey> keys{crypto::PrivateKey::generate()};
  static const crypto::JwtExpectations expect{.issuer = "https://127.0.0.1:6443", .audiences = {"mainstay"}};
  const std::string_view token(reinterpret_cast<const char*>(data), size);
  if (crypto::verify_jwt(token, keys, expect, {})) std::abort();
  return 0;
}
