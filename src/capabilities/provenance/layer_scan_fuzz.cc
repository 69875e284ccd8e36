// A layer of an image from anybody, read for its packages: bounded, whatever it holds.
#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "capabilities/provenance/layers.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mainstay::provenance;
  static const std::string kFile = "/tmp/mainstay-scan-fuzz-" + std::to_string(::getpid());
  std::ofstream(kFile, std::ios::binary).write(reinterpret_cast<const char*>(data), static_cast<std::streamsize>(size));
  ScanLimits limits;
  limits.max_entries = 200;
  limits.max_bytes = 1u << 20;
  limits.max_packages = limits.max_whiteouts = 200;
  const auto facts = scan_layer(kFile, limits);
  if (!facts) return 0;
  if (facts->whiteouts.size() > 200) std::abort();
  // What is remembered of it reads back.
  const auto again = facts_from_json(mainstay::base::to_json(to_json(*facts)));
  if (!again || again->files.size() != facts->files.size()) std::abort();
  (void)merge_layers({std::make_shared<const LayerFacts>(*facts)});
  return 0;
}
