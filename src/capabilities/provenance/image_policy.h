// Admission of images. In an environment's namespace a pod runs only what the team's own pipeline made: kept in this
// registry, named by digest, with provenance that verifies. In a team's own namespace, where jobs run, only images of
// this registry and the runner. Everything asked is local; nothing here calls out.
#pragma once
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <unordered_map>

#include "api/admission.h"
#include "base/config.h"
#include "base/metrics.h"
#include "capabilities/provenance/policy.h"
#include "client/cache.h"
#include "crypto/keys.h"
#include "platform/interfaces/images.h"

namespace mainstay::provenance {

class ImagePolicy {
 public:
  struct Dependencies {
    const base::Config& config;
    const crypto::Authority& authority;
    base::Metrics& metrics;
    std::function<std::shared_ptr<platform::ImageStore>()> images;
    // A namespace's labels; empty where it is not there.
    std::function<async::Task<base::json::object>(std::string ns)> labels;
    // VerificationPolicy objects, and what is known against an image. May be empty: then there are none.
    std::function<std::vector<client::ObjectPtr>()> policies;
    std::function<async::Task<base::Result<std::vector<Finding>>>(std::string repository, std::string digest)> findings;
    const base::Clock* clock = nullptr;
  };
  explicit ImagePolicy(Dependencies dependencies);

  static bool concerns(const api::AdmissionRequest& request);
  // Replaces tags by digests (environments only). Throws StatusError 403.
  static async::Task<> resolve(std::shared_ptr<ImagePolicy> self, api::AdmissionRequest& request);
  // Checks what is there after all mutation. Throws StatusError 403 saying which image, what is missing, what to do.
  static async::Task<> verify(std::shared_ptr<ImagePolicy> self, api::AdmissionRequest& request);

 private:
  struct Place {
    std::string team, environment;
  };
  struct Named {
    std::string container, image;
    base::json::value* field = nullptr;
  };
  async::Task<Place> place_of(std::string ns);
  // The containers whose image is new or changed.
  static std::vector<Named> images_of(const api::AdmissionRequest& request);
  void check_job_image(const Place& place, const Named& named) const;
  async::Task<> check_deployed_image(Place place, Named named);
  async::Task<base::Result<Claims>> provenance_of(std::string repository, std::string digest, std::string team);
  const Claims* known(const std::string& key);
  void remember(const std::string& key, Claims claims);
  async::Task<> check_policies(Candidate candidate, Named named, std::string digest, Claims claims);
  // Whether a dated exception of a policy lets in what the platform's own rule refuses.
  bool excepted(const Candidate& candidate) const;
  base::SystemTime now() const { return d_.clock == nullptr ? base::real_clock().now() : d_.clock->now(); }

  Dependencies d_;
  base::Counter& admitted_;
  base::Counter& refused_;
  std::list<std::string> order_;  // of verified, the newest first
  std::unordered_map<std::string, std::pair<Claims, std::list<std::string>::iterator>> verified_;
};

}  // namespace mainstay::provenance
