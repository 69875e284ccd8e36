#include "capabilities/cloud/buckets/buckets.h"

#include "base/files.h"
#include "base/log.h"
#include "capabilities/cloud/buckets/bucket_reconcile.h"
#include "capabilities/cloud/buckets/s3.h"

namespace mainstay::embedded {
base::EmbeddedFiles cloud_buckets_files();
}

namespace mainstay::cloud {
namespace {

// Below DIR/buckets: an index, and a blob store of its own, so that the registry's collector and this one's never meet.
std::shared_ptr<S3Service> open_service(platform::Host& host, std::shared_ptr<BucketKeys> keys) {
  const auto folder = host.config().dir("buckets");
  if (auto made = base::make_directories(folder, 0700); !made) throw std::runtime_error(made.error().message);
  auto index = BucketIndex::open(folder / "index.db");
  if (!index) throw std::runtime_error(index.error().message);
  auto blobs = store::open_file_blobs(host.runtime(), folder);
  if (!blobs) throw std::runtime_error(blobs.error().message);
  return std::make_shared<S3Service>(host.runtime(), host.clock(), *index, *blobs,
                                     [keys](const std::string& access_key) { return keys->find(access_key); });
}

api::Route route(std::shared_ptr<S3Service> service) {
  api::Route r;
  r.method = "*";
  r.pattern = "/s3/{path...}";
  r.permission = api::Public{"the handler checks the request's AWS signature against the bucket's own key"};
  r.summary = "The S3 API of the platform's buckets";
  r.own_credentials = true;
  r.handler = [service](std::shared_ptr<api::RequestContext> context) { return service->handle(std::move(context)); };
  return r;
}

async::Task<> collect(std::shared_ptr<S3Service> service) {
  for (;;) {
    co_await service->collect();
    co_await async::sleep_for(std::chrono::hours(24));
  }
}

async::Task<> start(platform::Host* host, std::shared_ptr<BucketKeys> keys, std::shared_ptr<S3Service> service) {
  co_await keys->start();
  host->tasks().spawn("buckets collector", collect(service));
}

}  // namespace

void register_buckets(platform::Host& host) {
  host.add_files(embedded::cloud_buckets_files());
  auto drivers = host.find<platform::ResourceDrivers>();
  if (!drivers) {
    drivers = std::make_shared<platform::ResourceDrivers>();
    host.provide(drivers);
  }
  drivers->add("s3", std::make_shared<BucketDriver>(host));
  auto keys = std::make_shared<BucketKeys>(host);
  auto service = open_service(host, keys);
  host.api().add_route(route(service));
  auto reconciler = std::make_shared<BucketReconciler>(host, service);
  reconcile::ControllerOptions options;
  options.name = "bucket";
  options.primary = kBuckets;
  options.also = {{client::resources::kSecrets, reconcile::owner_of_kind("Bucket")}};
  host.add_controller(options, [reconciler](reconcile::Name name) { return reconciler->reconcile(std::move(name)); });
  host.on_start("buckets", [&host, keys, service] { return start(&host, keys, service); });
}

}  // namespace mainstay::cloud
