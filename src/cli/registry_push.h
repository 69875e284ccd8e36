// Pushes an image of one layer to the platform's registry: what `mainstay image create` made.
#pragma once
#include <filesystem>
#include <string>

#include "base/json.h"
#include "cli/session.h"

namespace mainstay::cli {

struct NewImage {
  std::string repository, tag;      // "library/debian", "bookworm-slim"
  std::filesystem::path layer_tar;  // uncompressed
  boost::json::object config;       // the OCI image config's `config` part
  std::string comment;              // history's created_by
};
// Compresses (gzip) and uploads; gives the manifest's digest. Throws Failure.
async::Task<std::string> push_image(Session& session, NewImage image);
// Whether the tag exists.
async::Task<bool> image_exists(Session& session, std::string repository, std::string tag);

}  // namespace mainstay::cli
