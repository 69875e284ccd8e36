// platform::Attester: scans what a run built, and signs where it came from.
#pragma once
#include <filesystem>
#include <list>
#include <map>
#include <memory>
#include <string>

#include "async/sync.h"
#include "capabilities/provenance/layers.h"
#include "capabilities/provenance/timestamp.h"
#include "platform/host.h"
#include "platform/interfaces/images.h"
#include "platform/interfaces/provenance.h"

namespace mainstay::provenance {

inline constexpr std::string_view kSpdxType = "application/spdx+json";

// What layers hold, by digest: the last few hundred in memory, all below DIR/cache/sbom (safe to delete).
class LayerCache {
 public:
  LayerCache(async::Runtime& runtime, std::filesystem::path folder) : runtime_(runtime), folder_(std::move(folder)) {}
  async::Task<base::Result<std::shared_ptr<const LayerFacts>>> facts(std::string digest, std::filesystem::path blob);

 private:
  async::Runtime& runtime_;
  std::filesystem::path folder_;
  std::list<std::string> order_;  // the newest first
  std::map<std::string, std::pair<std::shared_ptr<const LayerFacts>, std::list<std::string>::iterator>> held_;
};

class LocalAttester final : public platform::Attester {
 public:
  // `images` finds the store when it is first needed: capabilities register in any order.
  using Images = std::function<std::shared_ptr<platform::ImageStore>()>;
  LocalAttester(async::Runtime& runtime, const base::Config& config, const crypto::Authority& authority,
                std::shared_ptr<const TimestampAuthority> timestamps, base::Clock& clock, Images images);
  async::Task<base::Result<platform::AttestResult>> scan(platform::BuildRecord build) override;
  async::Task<base::Result<platform::AttestResult>> attest(platform::BuildRecord build) override;
  async::Task<base::Result<std::string>> approve(platform::ApprovalRecord approval) override;
  // What an image of this registry is made of.
  async::Task<base::Result<std::shared_ptr<const ImagePackages>>> packages_of(std::string repository,
                                                                              std::string digest);

 private:
  // One scan that several wait for: pipelines asks for SBOM and provenance side by side.
  struct Scan {
    explicit Scan(async::Executor executor) : ended(std::move(executor)) {}
    async::Event ended;
    bool finished = false;
    base::Result<platform::AttestResult> result = base::fail(base::ErrorCode::kCancelled, "the scan was interrupted");
  };
  async::Task<base::Result<platform::AttestResult>> scan_alone(platform::BuildRecord build);
  async::Task<base::Result<platform::ImageStore::Image>> image_of(platform::BuildRecord build);
  async::Task<std::string> earlier(platform::BuildRecord build);
  async::Task<std::string> sbom_of(platform::BuildRecord build, std::string referrer);
  base::Result<std::string> sign(const platform::BuildRecord& build, const std::string& sbom_digest) const;
  base::Result<std::string> sign(const platform::ApprovalRecord& approval) const;
  // A bundle over the payload, by a key of its own whose certificate names `identity`. Blocking.
  base::Result<std::string> sign_as(std::string identity, std::vector<std::pair<std::string, std::string>> extensions,
                                    std::string payload) const;

  async::Runtime& runtime_;
  const base::Config& config_;
  const crypto::Authority& authority_;
  std::shared_ptr<const TimestampAuthority> timestamps_;
  base::Clock& clock_;
  Images images_;
  LayerCache layers_;
  std::map<std::string, std::shared_ptr<Scan>> scans_;  // under way, by run and digest
};

}  // namespace mainstay::provenance
