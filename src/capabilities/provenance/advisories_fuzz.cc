// Vulnerability data as a file may hold it, and the versions in it.
#include <cstddef>
#include <cstdint>

#include "capabilities/provenance/advisories.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mainstay::provenance;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto look = [](const Advisory& advisory) {
    for (const auto& affected : advisory.affected)
      for (const auto& range : affected.ranges) static_cast<void>(in_range(affected.ecosystem, "1.2.3-4", range));
  };
  static_cast<void>(parse_debian_tracker(text, look));
  static_cast<void>(parse_osv_list(text, look));
  if (const auto value = mainstay::base::parse_json(text, 32))
    if (const auto advisory = parse_osv(*value)) look(*advisory);
  return 0;
}
