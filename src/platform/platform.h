// The one Host: owns what every capability builds on, and runs what they registered through start, health and stop.
//
// Life: construct → register_capability()… → run(). Everything on the event loop.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "platform/host.h"

namespace mainstay::platform {

class Platform final : public Host {
 public:
  // Opens keys, store and blobs below config.data_dir. Throws std::runtime_error with a message for the user.
  Platform(async::Runtime& runtime, base::Config config);
  ~Platform() override;

  void register_capability(void (*function)(Host&)) { function(*this); }

  // Starts everything, prints the `ready` line once the endpoint has answered a request over HTTPS, serves until
  // stop() is called, then shuts down in order. Throws where the start fails.
  async::Task<> run();
  void stop();  // thread-safe; a second call cuts the grace short

  async::Runtime& runtime() override;
  const base::Config& config() const override;
  base::Clock& clock() override;
  base::Metrics& metrics() override;
  api::Server& api() override;
  const crypto::Authority& authority() const override;
  const crypto::Sealer& sealer() const override;
  std::shared_ptr<store::BlobStore> blobs() override;
  client::Caches& caches() override;
  client::ApiClient client(std::string name) override;
  async::TaskGroup& tasks() override;
  void add_capability(CapabilityInfo info) override;
  void add_files(base::EmbeddedFiles files) override;
  reconcile::Controller& add_controller(reconcile::ControllerOptions options, reconcile::Reconcile reconcile) override;
  void on_start(std::string name, std::function<async::Task<>()> hook) override;
  void on_stop(std::string name, std::function<async::Task<>()> hook) override;
  base::Result<> listen_also(const base::HostPort& address) override;

 protected:
  void provide_any(std::type_index type, std::shared_ptr<void> implementation) override;
  std::shared_ptr<void> find_any(std::type_index type) override;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mainstay::platform
