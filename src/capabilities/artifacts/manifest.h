// Manifests and indexes as they are pushed: parsed with bounds, checked for shape (OCI image-spec 1.1, Docker schema
// 2).
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace mainstay::artifacts {

struct Descriptor {
  std::string media_type, digest, artifact_type;
  std::uint64_t size = 0;
  bool foreign = false;          // kept elsewhere by its licence: may be missing here
  std::string architecture, os;  // of an index's entry
};

struct Manifest {
  std::string media_type;
  std::string artifact_type;  // its own, else its config's media type: what referrers are filtered by
  bool index = false;
  std::optional<Descriptor> config, subject;
  std::vector<Descriptor> layers;     // a manifest's
  std::vector<Descriptor> manifests;  // an index's
  base::json::object annotations;
};

// Errors (kInvalid) name the field. `content_type` may be empty or generic: then the body's own mediaType counts.
base::Result<Manifest> parse_manifest(std::string_view bytes, std::string_view content_type);

// The entry of an index for linux on this machine's architecture, or nullptr.
const Descriptor* for_this_machine(const Manifest& index);
std::string_view machine_architecture();  // as Go names it: "amd64"

}  // namespace mainstay::artifacts
