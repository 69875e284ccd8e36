// OCI images kept here, provided by artifacts/ to compute/, pipelines/ and provenance/.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "async/task.h"
#include "base/json.h"
#include "base/result.h"

namespace mainstay::platform {

// "127.0.0.1:6443/demo/hello:main@sha256:…" in its parts; docker.io and latest filled in as the ecosystem does.
struct ImageReference {
  std::string registry, repository, tag, digest;
  static base::Result<ImageReference> parse(std::string_view text);
  std::string to_string() const;
};

// Where the ecosystem's public images live, and what the pull-through cache knows without being told. The API of
// docker.io is at another host than its name says.
struct PublicRegistry {
  std::string_view name, url;
};
inline constexpr PublicRegistry kPublicRegistries[] = {
    {"docker.io", "https://registry-1.docker.io"},
    {"ghcr.io", "https://ghcr.io"},
    {"quay.io", "https://quay.io"},
    {"registry.k8s.io", "https://registry.k8s.io"},
    {"gcr.io", "https://gcr.io"},
    {"mcr.microsoft.com", "https://mcr.microsoft.com"},
    {"public.ecr.aws", "https://public.ecr.aws"},
};

// OCI Distribution 1.1's grammars: a repository's name (at most 255 characters), a tag.
bool valid_repository_name(std::string_view name);
bool valid_tag(std::string_view tag);

class ImageStore {
 public:
  virtual ~ImageStore() = default;
  struct Layer {
    std::string digest, media_type;
    std::uint64_t size = 0;
    std::filesystem::path path;  // the blob, immutable
  };
  struct Image {
    std::string repository, digest;  // of the manifest for this platform
    base::json::value manifest, config;
    std::vector<Layer> layers;  // lowest first
  };
  // Resolves tag or digest in our registry, an index to linux/amd64. `registry/repository` of others goes through the
  // pull-through cache. kNotFound says what was looked for and where.
  virtual async::Task<base::Result<Image>> image(ImageReference reference) = 0;
  virtual async::Task<base::Result<std::string>> resolve(ImageReference reference) = 0;  // the digest, without layers
  // A manifest by digest and the descriptors of its referrers (OCI 1.1), filtered by artifactType where not empty.
  virtual async::Task<base::Result<base::json::array>> referrers(std::string repository, std::string digest,
                                                                 std::string artifact_type) = 0;
  virtual async::Task<base::Result<base::json::value>> manifest(std::string repository, std::string digest) = 0;
  virtual async::Task<base::Result<std::string>> blob(std::string digest, std::size_t max_bytes) = 0;
  // Stores an artifact manifest with one layer and `subject`; gives its digest.
  virtual async::Task<base::Result<std::string>> attach(
      std::string repository, std::string subject_digest, std::string artifact_type, std::string media_type,
      std::string content, std::vector<std::pair<std::string, std::string>> annotations) = 0;
};

}  // namespace mainstay::platform
