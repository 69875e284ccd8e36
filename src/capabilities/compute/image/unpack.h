// One image layer (a tar, maybe compressed) written out as an overlay lower directory. Blocking: pool threads only.
//
// The archive is untrusted. Every path is resolved inside the destination by the kernel (openat2, RESOLVE_IN_ROOT), so
// neither
// `..` nor a symbolic link planted by an earlier entry leads out of it. Device nodes are left out: a container has its
// own /dev. Whiteouts (OCI image-spec, layer.md) become overlayfs' own: a 0/0 character device, or
// trusted.overlay.opaque.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string_view>

#include "base/result.h"

namespace mainstay::compute {

struct UnpackLimits {
  std::uint64_t max_bytes = 32ull << 30;  // unpacked
  std::uint64_t max_entries = 4'000'000;
  std::size_t max_path = 4095;
};
struct UnpackReport {
  std::uint64_t bytes = 0, entries = 0, skipped_devices = 0;
};

// `destination` is an existing, empty directory. Without root (unit tests) ownership is left as it comes. kInvalid: a
// bad archive; kTooLarge: over a limit; kExhausted: the disk is full.
base::Result<UnpackReport> unpack_layer(const std::filesystem::path& archive, const std::filesystem::path& destination,
                                        const UnpackLimits& limits = {});
base::Result<UnpackReport> unpack_layer_bytes(std::string_view archive, const std::filesystem::path& destination,
                                              const UnpackLimits& limits = {});

}  // namespace mainstay::compute
