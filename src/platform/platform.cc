#include "platform/platform.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cstdio>
#include <stdexcept>

#include "async/sync.h"
#include "base/files.h"
#include "base/log.h"
#include "base/status.h"
#include "client/in_process.h"
#include "net/client.h"
#include "platform/bootstrap.h"
#include "platform/capability_status.h"
#include "platform/master_key.h"
#include "reconcile/core_controllers.h"

namespace mainstay::embedded {
base::EmbeddedFiles platform_files();
}

namespace mainstay::platform {
namespace {

constexpr std::string_view kComponent = "platform";

template <class T>
T must(base::Result<T> result, std::string_view what) {
  if (!result) throw std::runtime_error(fmt::format("{}: {}", what, result.error().message));
  return *std::move(result);
}
void must(base::Result<> result, std::string_view what) {
  if (!result) throw std::runtime_error(fmt::format("{}: {}", what, result.error().message));
}

// Two programs on one data directory would corrupt it: the first holds a lock that the kernel drops with the process.
int lock_data_directory(const std::filesystem::path& dir) {
  must(base::make_directories(dir, 0711), "data directory");
  // Jobs run in a user namespace of their own and must be able to walk through, though not list, what is above their
  // files.
  std::error_code ignored;
  std::filesystem::permissions(dir, std::filesystem::perms::group_exec | std::filesystem::perms::others_exec,
                               std::filesystem::perm_options::add, ignored);
  for (const char* secret : {"pki", "keys", "run", "audit"})
    must(base::make_directories(dir / secret, 0700), "data directory");
  const std::string path = dir / "lock";
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0)
    throw std::runtime_error(fmt::format("cannot open {}: {}; is {} writable?", path, strerror(errno), dir.string()));
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    ::close(fd);
    throw std::runtime_error(fmt::format(
        "another mainstay already serves {}; stop it (mainstay down --data-dir {}) or choose another --data-dir",
        dir.string(), dir.string()));
  }
  // For `mainstay down`, which ends the holder.
  const std::string pid = std::to_string(::getpid());
  if (::ftruncate(fd, 0) != 0 || ::pwrite(fd, pid.data(), pid.size(), 0) != static_cast<ssize_t>(pid.size()))
    base::log::warn("platform", "{} cannot be written: {}", path, strerror(errno));
  return fd;
}

api::UserInfo service_identity(std::string name) {
  api::UserInfo user;
  user.name = "system:mainstay:" + std::move(name);
  user.groups = {std::string(api::kMastersGroup), "system:authenticated"};
  return user;
}

store::SealHook seal_hook(const crypto::Sealer& sealer, std::function<bool(const store::Key&)> applies) {
  return {std::move(applies),
          [&sealer](std::string_view plain, const store::Key& key) { return sealer.seal(plain, key.to_string()); },
          [&sealer](std::string_view sealed, const store::Key& key) { return sealer.unseal(sealed, key.to_string()); }};
}

struct Hook {
  std::string name;
  std::function<async::Task<>()> run;
};

}  // namespace

struct Platform::Impl {
  Impl(async::Runtime& rt, base::Config c, Platform& host)
      : runtime(rt),
        config(std::move(c)),
        lock(lock_data_directory(config.data_dir)),
        authority(must(crypto::Authority::open(config.dir("ca.crt"), config.dir("pki") / "ca.key", base::real_clock()),
                       "CA")),
        sealer(must(open_sealer(config), "master key")),
        store(rt, must(store::open_sqlite(config.dir("objects.db")), "object store"),
              seal_hook(sealer, [this](const store::Key& key) { return is_sealed(key); }), metrics),
        blobs(must(store::open_file_blobs(rt, config.data_dir), "blob store")),
        audit(rt, config.dir("audit") / "audit.log"),
        api({rt, config, base::real_clock(), metrics, store, audit}),
        tasks(rt.executor(), "platform"),
        caches(tasks, client::ApiClient(client::in_process_transport(api, service_identity("caches")), "caches")),
        stopping(rt.executor()) {}
  ~Impl() { ::close(lock); }

  bool is_sealed(const store::Key& key) const {
    const api::Type* type = api.types().find_plural(key.group, key.resource);
    return type != nullptr && type->sealed;
  }

  async::Task<> start();
  async::Task<net::Response> door(std::shared_ptr<net::Request> request);
  async::Task<> prove_served();
  async::Task<> renew_certificate();
  async::Task<> shut_down();

  async::Runtime& runtime;
  base::Config config;
  int lock;
  base::Metrics metrics;
  crypto::Authority authority;
  crypto::Sealer sealer;
  std::shared_ptr<ObjectsMasterKey> master_key;
  store::Backend store;
  std::shared_ptr<store::BlobStore> blobs;
  api::AuditLog audit;
  api::Server api;
  async::TaskGroup tasks;
  client::Caches caches;
  async::Event stopping;
  bool stop_asked = false;
  bool serving = false;  // every start hook has run

  std::unique_ptr<net::Server> server;
  std::optional<net::ServerTls> tls;
  std::vector<base::EmbeddedFile> bootstrap_files;
  std::vector<CapabilityInfo> capabilities;
  std::vector<Hook> start_hooks, stop_hooks;
  std::vector<std::unique_ptr<reconcile::Controller>> controllers;
  std::map<std::type_index, std::shared_ptr<void>> interfaces;
};

Platform::Platform(async::Runtime& runtime, base::Config config) {
  impl_ = std::make_unique<Impl>(runtime, std::move(config), *this);
  impl_->caches.hold();  // until the store is loaded
  add_files(embedded::platform_files());
  add_files(reconcile::core_files());
  impl_->master_key = std::make_shared<ObjectsMasterKey>(impl_->runtime, impl_->sealer, impl_->store, impl_->api);
  provide<MasterKey>(impl_->master_key);
}
Platform::~Platform() = default;

async::Runtime& Platform::runtime() { return impl_->runtime; }
const base::Config& Platform::config() const { return impl_->config; }
base::Clock& Platform::clock() { return base::real_clock(); }
base::Metrics& Platform::metrics() { return impl_->metrics; }
api::Server& Platform::api() { return impl_->api; }
const crypto::Authority& Platform::authority() const { return impl_->authority; }
const crypto::Sealer& Platform::sealer() const { return impl_->sealer; }
std::shared_ptr<store::BlobStore> Platform::blobs() { return impl_->blobs; }
client::Caches& Platform::caches() { return impl_->caches; }
client::ApiClient Platform::client(std::string name) {
  return client::ApiClient(client::in_process_transport(impl_->api, service_identity(name)), name);
}
async::TaskGroup& Platform::tasks() { return impl_->tasks; }
void Platform::add_capability(CapabilityInfo info) { impl_->capabilities.push_back(std::move(info)); }

void Platform::add_files(base::EmbeddedFiles files) {
  must(impl_->api.add_types(files), "type schemas");
  for (const base::EmbeddedFile& file : files) {
    if (file.path.starts_with("bootstrap/")) impl_->bootstrap_files.push_back(file);
  }
}

reconcile::Controller& Platform::add_controller(reconcile::ControllerOptions options, reconcile::Reconcile reconcile) {
  impl_->controllers.push_back(std::make_unique<reconcile::Controller>(impl_->tasks, impl_->caches, std::move(options),
                                                                       std::move(reconcile), impl_->metrics));
  return *impl_->controllers.back();
}
void Platform::on_start(std::string name, std::function<async::Task<>()> hook) {
  impl_->start_hooks.push_back({std::move(name), std::move(hook)});
}
void Platform::on_stop(std::string name, std::function<async::Task<>()> hook) {
  impl_->stop_hooks.push_back({std::move(name), std::move(hook)});
}
base::Result<> Platform::listen_also(const base::HostPort& address) {
  MAINSTAY_TRY([[maybe_unused]] base::HostPort bound, impl_->server->listen(address, impl_->tls));
  return {};
}
void Platform::provide_any(std::type_index type, std::shared_ptr<void> implementation) {
  impl_->interfaces[type] = std::move(implementation);
}
std::shared_ptr<void> Platform::find_any(std::type_index type) {
  const auto it = impl_->interfaces.find(type);
  return it == impl_->interfaces.end() ? nullptr : it->second;
}

void Platform::stop() {
  impl_->runtime.post([this] {
    impl_->stop_asked = true;
    impl_->stopping.notify_all();
  });
}

// The order: types, store, endpoint, default objects, start hooks, controllers. Only then does the `ready` line come.
async::Task<> Platform::Impl::start() {
  must(api.start(), "API tables");
  must(store.load(), "object store");
  caches.release();
  tls = must(endpoint_tls(config, authority, base::real_clock()), "endpoint certificate");
  server = std::make_unique<net::Server>(
      runtime, [this](std::shared_ptr<net::Request> request) { return door(std::move(request)); });
  config.listen = must(server->listen(config.listen, tls), "--listen");
  must(write_admin_kubeconfig(config, authority, base::real_clock()), "admin.kubeconfig");
  const client::ApiClient bootstrap(client::in_process_transport(api, service_identity("bootstrap")),
                                    "mainstay-bootstrap");
  co_await apply_bootstrap(bootstrap, bootstrap_files);
  for (const Hook& hook : start_hooks) {
    try {
      co_await hook.run();
    } catch (const async::Cancelled&) {
      throw;
    } catch (const std::exception& e) {
      throw std::runtime_error(fmt::format("{}: {}", hook.name, e.what()));
    }
  }
  reconcile::start_core_controllers(tasks, caches, api.types(), bootstrap, metrics);
  for (auto& controller : controllers) controller->start();
  if (sealer.rewrap_pending()) tasks.spawn("master key", finish_rewrap(master_key));
  tasks.spawn("endpoint certificate", renew_certificate());
  tasks.spawn("capability status", report_capabilities(bootstrap, capabilities, base::real_clock()));
  serving = true;
}

// Where requests from outside come in. After a crash clients that never gave up are there before the start hooks have
// run, and would meet capabilities half made: they are asked to come again.
async::Task<net::Response> Platform::Impl::door(std::shared_ptr<net::Request> request) {
  if (serving) co_return co_await api.handle(std::move(request));
  net::Response response =
      net::Response::json(503, base::unavailable("the platform is starting; try again in a moment").to_json());
  response.headers.set("Retry-After", "1");
  co_return response;
}

// A fresh certificate long before the old one ends; connections under way keep theirs.
async::Task<> Platform::Impl::renew_certificate() {
  for (;;) {
    co_await async::sleep_for(std::chrono::hours(24 * 30));
    auto fresh = endpoint_tls(config, authority, base::real_clock());
    auto replaced = fresh ? server->set_tls(*fresh) : base::Result<>(std::unexpected(fresh.error()));
    if (!replaced) base::log::error(kComponent, "renewing the endpoint's certificate: {}", replaced.error().message);
    if (fresh) tls = *std::move(fresh);
  }
}

// Ready means a request was served: over TLS, by the same door that users take.
async::Task<> Platform::Impl::prove_served() {
  net::ClientOptions options;
  options.tls.ca_pem = authority.certificate_pem();
  auto self = must(net::Client::create(runtime.executor(), config.local_url(), options), "own endpoint");
  net::ClientRequest request;
  request.target = "/readyz";
  auto response = co_await self->send(std::move(request));
  if (!response) throw std::runtime_error("the endpoint does not answer: " + response.error().message);
  const std::string body = co_await response->body->read_all(1u << 16);
  if (response->status != 200)
    throw std::runtime_error(fmt::format("the endpoint is not ready: {} {}", response->status, body));
}

async::Task<> Platform::Impl::shut_down() {
  if (server) co_await server->stop(std::chrono::seconds(2));
  for (auto it = stop_hooks.rbegin(); it != stop_hooks.rend(); ++it) {
    try {
      if (!co_await async::with_timeout(it->run(), std::chrono::seconds(5)))
        base::log::warn(kComponent, "stopping {} took over 5 s; going on", it->name);
    } catch (const std::exception& e) {
      base::log::warn(kComponent, "stopping {}: {}", it->name, e.what());
    }
  }
  tasks.cancel();
  co_await tasks.join();
  controllers.clear();
  co_await api.stop();
  co_await audit.stop();
  co_await store.stop();
}

async::Task<> Platform::run() {
  Impl& impl = *impl_;
  std::exception_ptr failure;
  try {
    co_await impl.start();
    co_await impl.prove_served();
    std::printf("ready %s\n", impl.config.server_url().c_str());
    std::fflush(stdout);
    while (!impl.stop_asked) co_await impl.stopping.wait();
    base::log::info(kComponent, "stopping");
  } catch (...) {
    failure = std::current_exception();
  }
  co_await impl.shut_down();
  if (failure) std::rethrow_exception(failure);
}

}  // namespace mainstay::platform
