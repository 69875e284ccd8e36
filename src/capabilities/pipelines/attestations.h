// Scanning and attesting what runs built, beside the jobs: begun when an image is reported, waited for by deploy.
#pragma once
#include <memory>
#include <set>
#include <string>

#include "async/sync.h"
#include "capabilities/pipelines/run_store.h"
#include "platform/host.h"
#include "platform/interfaces/provenance.h"

namespace mainstay::pipelines {

class Attestations {
 public:
  Attestations(platform::Host& host, std::shared_ptr<RunStore> store);
  void start();  // looks up the attester
  // Begins what is missing for the images of this run. Safe to call at any time, any number of times.
  void begin(const json::value& run);
  // False where nobody attests on this platform.
  bool available() const { return attester_ != nullptr; }
  // True where every image has its attestation, or an error of its own.
  bool complete(const json::value& run) const;

 private:
  async::Task<> one(reconcile::Name name, platform::BuildRecord build, bool signs);
  platform::Host& host_;
  std::shared_ptr<RunStore> store_;
  std::shared_ptr<platform::Attester> attester_;
  std::set<std::string> under_way_;
};

}  // namespace mainstay::pipelines
