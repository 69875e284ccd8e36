#include "capabilities/identity/form.h"
#include "capabilities/identity/totp.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (auto form = mainstay::identity::Form::parse(text)) {
    // What was read is written and read again without loss.
    auto again = mainstay::identity::Form::parse(form->encode());
    if (again && again->encode() != form->encode()) __builtin_trap();
  }
  (void)mainstay::identity::base32_decode(text);
  return 0;
}
