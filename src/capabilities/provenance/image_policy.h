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
  async::Task<base::Result<>> provenance_of(std::string repository, std::string digest, std::string team);
  bool known(const std::string& key);
  void remember(const std::string& key);

  Dependencies d_;
  base::Counter& admitted_;
  base::Counter& refused_;
  std::list<std::string> order_;  // of verified, the newest first
  std::unordered_map<std::string, std::list<std::string>::iterator> verified_;
};

}  // namespace mainstay::provenance
