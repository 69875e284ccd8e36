// Package databases as an image may hold them.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "capabilities/provenance/packages.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mainstay::provenance;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto os = parse_os_release(text);
  for (const auto parse : {parse_dpkg_status, parse_apk_installed, parse_npm_package, parse_python_metadata,
                           parse_npm_lock, parse_cargo_lock, parse_executable}) {
    for (const auto& package : parse(text)) {
      if (package.name.empty() || package.version.empty()) std::abort();
      static_cast<void>(package_url(package, os));
    }
  }
  return 0;
}
