// Layers are archives from strangers: whatever they hold, nothing is written outside the directory.
#include <stdlib.h>

#include <cstdlib>
#include <filesystem>

#include "capabilities/compute/image/unpack.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  namespace fs = std::filesystem;
  static const fs::path kOuter = [] {
    char name[] = "/tmp/mainstay-layer-fuzz-XXXXXX";
    return fs::path(::mkdtemp(name));
  }();
  const fs::path root = kOuter / "root";
  fs::create_directories(root);
  mainstay::compute::UnpackLimits limits;
  limits.max_bytes = 1u << 20;
  limits.max_entries = 200;
  static_cast<void>(mainstay::compute::unpack_layer_bytes({reinterpret_cast<const char*>(data), size}, root, limits));
  std::size_t beside = 0;
  for ([[maybe_unused]] const auto& entry : fs::directory_iterator(kOuter)) ++beside;
  if (beside != 1) std::abort();
  fs::remove_all(root);
  return 0;
}
