// Image references as pod specs may hold them: what parses prints to what parses to the same.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "platform/interfaces/images.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using mainstay::platform::ImageReference;
  const auto once = ImageReference::parse({reinterpret_cast<const char*>(data), size});
  if (!once) return 0;
  const auto again = ImageReference::parse(once->to_string());
  if (!again || again->to_string() != once->to_string()) std::abort();
  return 0;
}
