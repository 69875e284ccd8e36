#include <cstdint>

#include "capabilities/cloud/terraform/state.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  static_cast<void>(mainstay::cloud::read_state(text));
  static_cast<void>(mainstay::cloud::read_lock(text));
  return 0;
}
