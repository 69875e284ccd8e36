// A Host for unit tests of engines and the like: configuration, loop, clock, metrics, authority and tasks. What needs
// an API server aborts: such tests take a Platform.
#pragma once
#include <cstdlib>

#include "platform/host.h"

namespace mainstay::platform {

class FakeHost final : public Host {
 public:
  FakeHost(async::Runtime& runtime, base::Config config)
      : runtime_(runtime),
        config_(std::move(config)),
        authority_(crypto::Authority::create("test", base::real_clock())),
        tasks_(runtime.executor(), "test") {}
  async::Runtime& runtime() override { return runtime_; }
  const base::Config& config() const override { return config_; }
  base::Clock& clock() override { return base::real_clock(); }
  base::Metrics& metrics() override { return metrics_; }
  const crypto::Authority& authority() const override { return authority_; }
  async::TaskGroup& tasks() override { return tasks_; }
  api::Server& api() override { std::abort(); }
  const crypto::Sealer& sealer() const override { std::abort(); }
  std::shared_ptr<store::BlobStore> blobs() override { std::abort(); }
  client::Caches& caches() override { std::abort(); }
  client::ApiClient client(std::string) override { std::abort(); }
  void add_capability(CapabilityInfo) override {}
  void add_files(base::EmbeddedFiles) override {}
  reconcile::Controller& add_controller(reconcile::ControllerOptions, reconcile::Reconcile) override { std::abort(); }
  void on_start(std::string, std::function<async::Task<>()>) override {}
  void on_stop(std::string, std::function<async::Task<>()>) override {}
  base::Result<> listen_also(const base::HostPort&) override { return {}; }

 protected:
  void provide_any(std::type_index, std::shared_ptr<void>) override {}
  std::shared_ptr<void> find_any(std::type_index) override { return nullptr; }

 private:
  async::Runtime& runtime_;
  base::Config config_;
  crypto::Authority authority_;
  base::Metrics metrics_;
  async::TaskGroup tasks_;
};

}  // namespace mainstay::platform
