// The packages in an image, from its layers: each layer is read once and remembered by its digest.
#pragma once
#include <chrono>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "capabilities/provenance/packages.h"

namespace mainstay::provenance {

// What one layer adds and hides. Paths without a leading slash.
struct LayerFacts {
  std::map<std::string, std::vector<Package>> files;  // package databases and manifests found
  std::map<std::string, std::string> os_release;      // content of etc/os-release and usr/lib/os-release
  std::set<std::string> whiteouts;                    // removed: the path and everything below it
  std::set<std::string> opaque;  // folders whose content of lower layers is hidden ("" for the root)
};

struct ScanLimits {
  std::uint64_t max_entries = 2'000'000;
  std::uint64_t max_bytes = 16ull << 30;  // unpacked
  std::uint64_t max_packages = 100'000;
  std::uint64_t max_whiteouts = 200'000;
  std::chrono::seconds time{120};
};

// Reads a layer (tar, plain or compressed with gzip or zstd). Blocking: on the pool. kInvalid: damaged; kTooLarge: over
// a limit.
base::Result<LayerFacts> scan_layer(const std::filesystem::path& blob, const ScanLimits& limits = {});

struct ImagePackages {
  std::vector<Package> packages;  // sorted by type, name, version; no repeats
  OsRelease os;
};
// Lays the layers over one another, lowest first.
ImagePackages merge_layers(const std::vector<std::shared_ptr<const LayerFacts>>& layers);

base::json::object to_json(const LayerFacts& facts);
base::Result<LayerFacts> facts_from_json(std::string_view text);

}  // namespace mainstay::provenance
