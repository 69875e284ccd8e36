// A certificate from anybody, as PEM: reading it neither crashes nor makes the authority accept it.
#include <cstdlib>

#include "crypto/keys.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  using namespace mainstay;
  static const crypto::Authority authority = crypto::Authority::create("fuzz", base::real_clock());
  const std::string_view pem(reinterpret_cast<const char*>(data), size);
  auto info = crypto::inspect_certificate(pem);
  if (authority.verify(pem, base::real_clock().now())) std::abort();
  (void)crypto::verify_signature(pem, "text", "signature");
  return 0;
}
