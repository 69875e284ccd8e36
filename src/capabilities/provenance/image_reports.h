// ImageReport objects: what is known against the images that teams built. Written when a run's image is there, and all
// of them again when vulnerability data was imported.
#pragma once
#include <list>
#include <map>
#include <memory>
#include <string>

#include "capabilities/provenance/attester.h"
#include "capabilities/provenance/vulnerabilities.h"
#include "platform/host.h"

namespace mainstay::provenance {

inline const client::Resource kImageReports{"mainstay.dev", "v1", "imagereports", true, "ImageReport"};
inline const client::Resource kReleases{"mainstay.dev", "v1", "releases", true, "Release"};
inline const client::Resource kVerificationPolicies{"mainstay.dev", "v1", "verificationpolicies", false,
                                                    "VerificationPolicy"};

class ImageReports {
 public:
  struct Known {
    std::int64_t revision = 0;  // of the data they were found in
    int packages = 0;
    std::vector<Finding> findings;
  };
  ImageReports(platform::Host& host, std::shared_ptr<LocalAttester> attester, std::shared_ptr<Vulnerabilities> data)
      : host_(host), client_(host.client("provenance")), attester_(std::move(attester)), data_(std::move(data)) {}
  void attach_controller();
  // From memory where the data has not changed since, else by looking at the image.
  async::Task<base::Result<std::shared_ptr<const Known>>> known(std::string repository, std::string digest);
  // POST /provenance/v1/vulnerabilities: the body is a file of data.
  async::Task<net::Response> import(std::shared_ptr<api::RequestContext> context);
  const Vulnerabilities& data() const { return *data_; }

 private:
  async::Task<reconcile::Outcome> reconcile(reconcile::Name run);
  async::Task<> report(std::string team, std::string repository, std::string digest, base::json::value owner);
  async::Task<> sweep(std::string team);

  platform::Host& host_;
  client::ApiClient client_;
  std::shared_ptr<LocalAttester> attester_;
  std::shared_ptr<Vulnerabilities> data_;
  reconcile::Controller* controller_ = nullptr;
  std::map<std::string, std::shared_ptr<const Known>> held_;  // by digest
};

}  // namespace mainstay::provenance
