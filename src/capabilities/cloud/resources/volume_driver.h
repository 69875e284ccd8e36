// A PersistentVolumeClaim of this machine's disk for each claim of type volume.
#pragma once
#include "platform/host.h"
#include "platform/interfaces/resources.h"

namespace mainstay::cloud {

class VolumeDriver final : public platform::ResourceDriver {
 public:
  explicit VolumeDriver(platform::Host& host) : client_(host.client("cloud")) {}
  async::Task<base::Result<platform::Provisioned>> provision(platform::ClaimRequest claim) override;
  async::Task<base::Result<>> release(platform::ClaimRequest claim, bool keep) override;

 private:
  client::ApiClient client_;
};

}  // namespace mainstay::cloud
