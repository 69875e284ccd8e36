// The Capability contract: each capability has one function `void register_<name>(platform::Host&)` that tells the Host
// everything it brings: types, bootstrap objects, routes, controllers, admission, engines, health and stop hooks.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <typeindex>
#include <vector>

#include "api/server.h"
#include "async/runtime.h"
#include "base/clock.h"
#include "base/config.h"
#include "base/embedded.h"
#include "base/metrics.h"
#include "client/cache.h"
#include "client/client.h"
#include "crypto/keys.h"
#include "crypto/sealing.h"
#include "net/server.h"
#include "reconcile/controller.h"
#include "store/blobs.h"

namespace mainstay::platform {

struct Health {
  bool ok = true;
  std::string message;
};

// One of the mission's seven, or a helper of one (its `part`): what `mainstay status` lists.
struct CapabilityInfo {
  std::string name;                             // "compute"
  std::string title;                            // "Dynamic compute"
  int number = 0;                               // the mission's order, 1 to 7
  std::string part;                             // "source control"; "" where the capability has one part
  std::string provider;                         // "built-in"
  std::string engine;                           // "crun 1.8.1 under conmon"; "" where none
  std::string lost_without;                     // what users lose where it is absent
  std::function<async::Task<Health>()> health;  // asked every 10 s, and at start
};

class Host {
 public:
  virtual ~Host() = default;

  // What there is to build on.
  virtual async::Runtime& runtime() = 0;
  virtual const base::Config& config() const = 0;
  virtual base::Clock& clock() = 0;
  virtual base::Metrics& metrics() = 0;
  virtual api::Server& api() = 0;                          // add_route, add_subresource, add_admission, authenticator
  virtual const crypto::Authority& authority() const = 0;  // the platform's CA
  virtual const crypto::Sealer& sealer() const = 0;
  virtual std::shared_ptr<store::BlobStore> blobs() = 0;
  virtual client::Caches& caches() = 0;  // read-only copies, with the platform's own rights
  // A client with the capability's own service identity `system:mainstay:<name>` (group system:masters), also its field
  // manager.
  virtual client::ApiClient client(std::string name) = 0;
  virtual async::TaskGroup& tasks() = 0;  // cancelled and joined at stop

  // What a capability brings. Only inside its register function.
  virtual void add_capability(CapabilityInfo info) = 0;
  virtual void add_files(
      base::EmbeddedFiles files) = 0;  // schemas/*.yaml are types, bootstrap/*.yaml objects applied at start
  virtual reconcile::Controller& add_controller(reconcile::ControllerOptions options,
                                                reconcile::Reconcile reconcile) = 0;  // started after `start` hooks
  // Run once in registration order when the API answers, before controllers start and before `ready`. Throwing ends the
  // program with the message: use it for what must be there, and conditions and health for what may come later.
  virtual void on_start(std::string name, std::function<async::Task<>()> hook) = 0;
  // Last in, first out, at stop; each has 5 s.
  virtual void on_stop(std::string name, std::function<async::Task<>()> hook) = 0;
  // Serves the API at a further address (the bridge's, for pods). From a start hook.
  virtual base::Result<> listen_also(const base::HostPort& address) = 0;

  // Interfaces that two capabilities share (declared in platform/interfaces/): one provides, others look up at start or
  // later.
  template <class I>
  void provide(std::shared_ptr<I> implementation) {
    provide_any(typeid(I), std::move(implementation));
  }
  // Null where nobody provides it. Look up in a start hook or later, never in register (order would matter).
  template <class I>
  std::shared_ptr<I> find() {
    return std::static_pointer_cast<I>(find_any(typeid(I)));
  }

 protected:
  virtual void provide_any(std::type_index type, std::shared_ptr<void> implementation) = 0;
  virtual std::shared_ptr<void> find_any(std::type_index type) = 0;
};

}  // namespace mainstay::platform
