// platform::ImageStore over the registry: what compute/, pipelines/ and provenance/ see of it.
#pragma once
#include <memory>

#include "base/config.h"
#include "capabilities/artifacts/upstream.h"
#include "platform/interfaces/images.h"

namespace mainstay::artifacts {

class LocalImageStore final : public platform::ImageStore {
 public:
  LocalImageStore(std::shared_ptr<Registry> registry, std::shared_ptr<Upstreams> upstreams, const base::Config& config)
      : registry_(std::move(registry)), upstreams_(std::move(upstreams)), config_(config) {}
  async::Task<base::Result<Image>> image(platform::ImageReference reference) override;
  async::Task<base::Result<std::string>> resolve(platform::ImageReference reference) override;
  async::Task<base::Result<base::json::array>> referrers(std::string repository, std::string digest,
                                                         std::string artifact_type) override;
  async::Task<base::Result<base::json::value>> manifest(std::string repository, std::string digest) override;
  async::Task<base::Result<std::string>> blob(std::string digest, std::size_t max_bytes) override;
  async::Task<base::Result<std::string>> attach(std::string repository, std::string subject_digest,
                                                std::string artifact_type, std::string media_type, std::string content,
                                                std::vector<std::pair<std::string, std::string>> annotations) override;

 private:
  // The repository's name here; fetched from its upstream first where it is another registry's.
  async::Task<base::Result<std::string>> locate(platform::ImageReference reference);
  async::Task<base::Result<Image>> load(std::string repository, std::string reference, std::string asked_for);

  std::shared_ptr<Registry> registry_;
  std::shared_ptr<Upstreams> upstreams_;
  const base::Config& config_;
};

}  // namespace mainstay::artifacts
