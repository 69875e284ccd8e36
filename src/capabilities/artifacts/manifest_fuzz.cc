// Manifests as anybody may push them.
#include <cstddef>
#include <cstdint>

#include "capabilities/artifacts/manifest.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const char* type :
       {"", "application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.index.v1+json"}) {
    const auto parsed = mainstay::artifacts::parse_manifest(text, type);
    if (parsed && parsed->index) mainstay::artifacts::for_this_machine(*parsed);
  }
  return 0;
}
