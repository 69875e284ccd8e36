// Bucket objects: their keys, their Secrets, and the driver behind claims of type s3.
#pragma once
#include <map>
#include <memory>

#include "capabilities/cloud/buckets/s3.h"
#include "platform/interfaces/resources.h"

namespace mainstay::cloud {
namespace json = boost::json;

inline const client::Resource kBuckets{"mainstay.dev", "v1", "buckets", true, "Bucket"};
inline constexpr std::string_view kBucketFinalizer = "mainstay.dev/bucket";

// What follows from who a bucket is. Pure.
std::string bucket_id(std::string_view namespace_uid, std::string_view name);  // 20 hex digits, for ever
std::string bucket_name(std::string_view name, std::string_view id);           // unique, at most 63 characters
std::string access_key_of(std::string_view bucket_uid);
std::string bucket_secret_name(std::string_view bucket);

// Access keys by the Bucket objects there are; the secret half is in each one's Secret, which is read where it is
// needed. A Secret counts only where the Bucket owns it, so nobody can name another's bucket.
class BucketKeys : public std::enable_shared_from_this<BucketKeys> {
 public:
  explicit BucketKeys(platform::Host& host) : host_(host) {}
  async::Task<> start();
  std::optional<BucketKey> find(const std::string& access_key) const;

 private:
  platform::Host& host_;
  std::map<std::string, reconcile::Name> names_;
};

class BucketReconciler : public std::enable_shared_from_this<BucketReconciler> {
 public:
  BucketReconciler(platform::Host& host, std::shared_ptr<S3Service> service);
  async::Task<reconcile::Outcome> reconcile(reconcile::Name name);

 private:
  async::Task<base::Result<>> provide(reconcile::Pass& pass, reconcile::Name name);

  platform::Host& host_;
  client::ApiClient client_;
  std::shared_ptr<S3Service> service_;
};

class BucketDriver final : public platform::ResourceDriver {
 public:
  explicit BucketDriver(platform::Host& host) : client_(host.client("buckets")) {}
  async::Task<base::Result<platform::Provisioned>> provision(platform::ClaimRequest claim) override;
  async::Task<base::Result<>> release(platform::ClaimRequest claim, bool keep) override;
  // size_bytes, limit_bytes (its quota), objects: as of the Bucket's status.
  async::Task<base::Result<std::map<std::string, double>>> measure(platform::ClaimRequest claim) override;

 private:
  client::ApiClient client_;
};

}  // namespace mainstay::cloud
