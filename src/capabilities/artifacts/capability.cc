#include "capabilities/artifacts/capability.h"

#include <sys/statvfs.h>

#include <set>

#include "base/log.h"
#include "capabilities/artifacts/collector.h"
#include "capabilities/artifacts/image_store.h"
#include "capabilities/artifacts/routes.h"
#include "platform/interfaces/usage.h"

namespace mainstay::embedded {
base::EmbeddedFiles artifacts_files();
}

namespace mainstay::artifacts {
namespace {

namespace resources = client::resources;
constexpr std::uint64_t kLowDisk = 512u << 20;

// Whether a namespace is there: from the copy, and where that lags behind, from the API.
async::Task<bool> namespace_exists(platform::Host* host, std::string ns) {
  auto cache = host->caches().of(resources::kNamespaces);
  if (cache->has_synced() && cache->get("", ns)) co_return true;
  co_return (co_await host->client("artifacts").find(resources::kNamespaces, "", ns)).has_value();
}

std::map<std::string, std::string> configured_upstreams(platform::Host* host) {
  std::map<std::string, std::string> out;
  const auto map = host->caches().of(resources::kConfigMaps)->get("library", "upstreams");
  if (!map) return out;
  for (const auto& [name, url] : base::get_object(*map, "data")) {
    if (url.is_string()) out.emplace(name, url.get_string());
  }
  return out;
}

async::Task<platform::Health> health(std::shared_ptr<Registry> registry, std::filesystem::path dir) {
  struct statvfs disk{};
  const bool known = ::statvfs(dir.c_str(), &disk) == 0;
  const std::uint64_t free = static_cast<std::uint64_t>(disk.f_bavail) * disk.f_frsize;
  if (known && free < kLowDisk) {
    co_return platform::Health{false,
                               fmt::format("{} has only {} MiB free: pushes will fail soon", dir.string(), free >> 20)};
  }
  std::size_t manifests = 0;
  for (const auto& [name, repository] : registry->index().repositories()) manifests += repository.manifests.size();
  co_return platform::Health{
      true, fmt::format("{} repositories, {} manifests", registry->index().repositories().size(), manifests)};
}

async::Task<> drop_namespace(std::shared_ptr<Collector> collector, std::string ns) {
  try {
    const auto dropped = co_await collector->drop_namespace(ns);
    if (dropped > 0) base::log::info("artifacts", "removed {} repositories of the removed namespace {}", dropped, ns);
  } catch (const RegistryError& error) {
    base::log::warn("artifacts", "removing repositories of {}: {}; the next collection tries again", ns,
                    error.message());
  }
}

// Repositories are named <team>/…
class TeamImages final : public platform::ImageUsage {
 public:
  explicit TeamImages(std::shared_ptr<Registry> registry) : registry_(std::move(registry)) {}
  std::map<std::string, std::uint64_t> bytes_by_team() const override {
    std::map<std::string, std::uint64_t> out;
    std::string team;
    std::set<std::string_view> seen;
    for (const auto& [name, repository] : registry_->index().repositories()) {  // by name: a team's are side by side
      const std::string owner = name.substr(0, name.find('/'));
      if (owner != team) seen.clear();
      team = owner;
      for (const auto& [digest, blob] : repository.blobs)
        if (seen.insert(digest).second) out[team] += blob.size;
    }
    return out;
  }

 private:
  std::shared_ptr<Registry> registry_;
};

async::Task<> start(platform::Host* host, std::shared_ptr<Collector> collector) {
  host->caches().of(resources::kConfigMaps);
  host->caches()
      .of(resources::kNamespaces)
      ->on_change([host, collector](const client::ObjectPtr& before, const client::ObjectPtr& after) {
        if (!before || after) return;
        host->tasks().spawn("drop repositories", drop_namespace(collector, base::get_string(*before, "metadata.name")));
      });
  host->tasks().spawn("artifacts collector", Collector::run(collector));
  co_return;
}

}  // namespace

void register_artifacts(platform::Host& host) {
  auto* h = &host;
  const auto dir = host.config().dir("artifacts");
  auto index = Index::open(host.runtime(), host.tasks(), dir / "index.db");
  if (!index) throw std::runtime_error(index.error().message);
  const auto exists = [h](std::string ns) { return namespace_exists(h, std::move(ns)); };
  auto registry = std::make_shared<Registry>(
      Registry::Dependencies{host.runtime(), host.clock(), host.blobs(), *index, exists, host.config().data_dir});
  auto uploads = std::make_shared<Uploads>(registry, host.tasks());
  auto upstreams =
      std::make_shared<Upstreams>(registry, uploads, host.tasks(), [h] { return configured_upstreams(h); });
  auto collector = std::make_shared<Collector>(registry, uploads, exists);
  auto endpoints = std::make_shared<Endpoints>(registry, uploads, upstreams,
                                               [h](const api::UserInfo& user, const api::Attributes& what) {
                                                 return h->api().authorizer().authorize(user, what).allowed;
                                               });

  host.add_files(embedded::artifacts_files());
  for (auto& route : routes(endpoints)) host.api().add_route(std::move(route));
  host.provide<platform::ImageStore>(std::make_shared<LocalImageStore>(registry, upstreams, host.config()));
  host.provide<platform::ImageUsage>(std::make_shared<TeamImages>(registry));
  host.on_start("artifacts", [h, collector] { return start(h, collector); });

  auto& metrics = host.metrics();
  auto& repositories = metrics.gauge("mainstay_registry_repositories", "Repositories of the artifact store.");
  auto& open_uploads = metrics.gauge("mainstay_registry_uploads", "Uploads under way.");
  metrics.on_scrape([registry, uploads, &repositories, &open_uploads] {
    repositories.set(static_cast<double>(registry->index().repositories().size()));
    open_uploads.set(static_cast<double>(uploads->open_count()));
  });
  host.add_capability({.name = "artifacts",
                       .title = "General developer tools",
                       .number = 2,
                       .part = "artifact store",
                       .provider = "built-in",
                       .engine = "",
                       .lost_without = "pushing and pulling images and their attestations, and so every deployment",
                       .health = [registry, dir] { return health(registry, dir); }});
}

}  // namespace mainstay::artifacts
