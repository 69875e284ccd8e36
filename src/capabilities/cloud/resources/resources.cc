#include "capabilities/cloud/resources/resources.h"

#include "capabilities/cloud/resources/claim_meter.h"
#include "capabilities/cloud/resources/claim_routes.h"
#include "capabilities/cloud/resources/postgres_driver.h"
#include "capabilities/cloud/resources/redis_driver.h"
#include "capabilities/cloud/resources/volume_driver.h"

namespace mainstay::embedded {
base::EmbeddedFiles cloud_resources_files();
}

namespace mainstay::cloud {
namespace {

async::Task<platform::Health> health(platform::Host* host, std::shared_ptr<PostgresServer> postgres,
                                     std::shared_ptr<PostgresRecovery> recovery, std::shared_ptr<RedisDriver> redis) {
  platform::Health server = postgres->health();
  if (server.ok) server = redis->health();
  if (server.ok && !recovery->trouble().empty()) server = {false, recovery->trouble()};
  if (!server.ok) co_return server;
  std::size_t ready = 0, waiting = 0;
  for (const auto& claim : host->caches().of(kResourceClaims)->list())
    ++(base::get_string(*claim, "status.phase") == "Ready" ? ready : waiting);
  co_return platform::Health{true, waiting == 0 ? fmt::format("{} claims", ready)
                                                : fmt::format("{} claims, {} not ready", ready + waiting, waiting)};
}

// A server that has databases is begun at each start, not only when somebody asks.
async::Task<> revive(std::shared_ptr<PostgresServer> postgres) {
  for (std::chrono::seconds pause{1}; postgres->exists(); pause = std::min(pause * 2, std::chrono::seconds(30))) {
    if (co_await postgres->ensure()) co_return;
    co_await async::sleep_for(pause);
  }
}

async::Task<> start_resources(platform::Host* host, std::shared_ptr<PostgresServer> postgres,
                              std::shared_ptr<PostgresRecovery> recovery, std::shared_ptr<ClaimMeter> meter) {
  host->tasks().spawn("claim meter", ClaimMeter::run(meter));
  host->tasks().spawn("postgres base backups", PostgresRecovery::run(recovery));
  host->caches().of(client::resources::kNamespaces);
  host->caches().of(kResourceClasses);
  // In the background: pods' network, on which it listens, comes after this.
  if (postgres->exists()) host->tasks().spawn("postgres", revive(postgres));
  co_return;
}

reconcile::ControllerOptions controller_options(platform::Host& host) {
  reconcile::ControllerOptions options;
  options.name = "resource-claim";
  options.primary = kResourceClaims;
  options.workers = 8;
  // A class that comes may be the one that claims wait for.
  reconcile::Watched classes{kResourceClasses, [host = &host](const json::value&) {
                               std::vector<reconcile::Name> names;
                               for (const auto& claim : host->caches().of(kResourceClaims)->list())
                                 if (base::get_string(*claim, "status.phase") != "Ready")
                                   names.push_back({base::get_string(*claim, "metadata.namespace"),
                                                    base::get_string(*claim, "metadata.name")});
                               return names;
                             }};
  reconcile::Watched prices{
      kPriceLists, [host = &host](const json::value&) {
        std::vector<reconcile::Name> names;
        for (const auto& claim : host->caches().of(kResourceClaims)->list())
          names.push_back({base::get_string(*claim, "metadata.namespace"), base::get_string(*claim, "metadata.name")});
        return names;
      }};
  // A connection Secret that was deleted or changed is made again.
  options.also = {
      std::move(classes), std::move(prices), {client::resources::kSecrets, reconcile::owner_of_kind("ResourceClaim")}};
  return options;
}

}  // namespace

void register_resources(platform::Host& host) {
  host.add_files(embedded::cloud_resources_files());
  auto drivers = host.find<platform::ResourceDrivers>();
  if (!drivers) {
    drivers = std::make_shared<platform::ResourceDrivers>();
    host.provide(drivers);
  }
  auto postgres = std::make_shared<PostgresServer>(host);
  auto recovery = std::make_shared<PostgresRecovery>(host, postgres);
  drivers->add("postgres", std::make_shared<PostgresDriver>(host, postgres, recovery));
  auto redis = std::make_shared<RedisDriver>(host);
  drivers->add("redis", redis);
  drivers->add("volume", std::make_shared<VolumeDriver>(host));
  auto claims = std::make_shared<ClaimReconciler>(host, drivers);
  auto meter = std::make_shared<ClaimMeter>(host, claims);
  host.provide<platform::StorageUsage>(meter);
  host.api().add_admission(claim_admission(host));
  add_claim_routes(host, claims);
  host.add_controller(controller_options(host),
                      [claims](reconcile::Name name) { return claims->reconcile(std::move(name)); });
  host.on_start("cloud resources",
                [&host, postgres, recovery, meter] { return start_resources(&host, postgres, recovery, meter); });
  host.on_stop("cloud resources", [postgres] { return postgres->stop(); });
  host.on_stop("cloud caches", [redis] { return redis->stop(); });
  host.add_capability(
      {.name = "cloud",
       .title = "Cloud",
       .number = 3,
       .part = "",
       .provider = "built-in",
       .engine = "PostgreSQL 15, Redis",
       .lost_without = "Databases, buckets and networks need a ticket and a wait.",
       .health = [host = &host, postgres, recovery, redis] { return health(host, postgres, recovery, redis); }});
}

}  // namespace mainstay::cloud
